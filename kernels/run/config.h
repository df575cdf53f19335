/*
 * From a model's config files (diffusers' JSON) to the builders' plain structs. Unknown fields are
 * ignored, missing ones take diffusers' defaults; a value that names an architecture not built here
 * (an SDXL addition embedding, a Simple* block) is a failure that quotes it.
 */
#ifndef RUN_CONFIG_H
#define RUN_CONFIG_H

#include "common/data/json.h"
#include "kernels/model/model.h"

int config_unet(struct unet_config *c, const struct json *doc, struct err *e);
int config_vae(struct vae_config *c, const struct json *doc, struct err *e);
int config_text(struct text_config *c, const struct json *doc, struct err *e);

#endif
