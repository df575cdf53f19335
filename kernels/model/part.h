/*
 * The parts of a model.
 */
#ifndef MODEL_PART_H
#define MODEL_PART_H

enum part { PART_UNET, PART_VAE, PART_TEXT, PART__COUNT };

#endif
