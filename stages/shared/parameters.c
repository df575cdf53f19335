#include "stages/shared/parameters.h"

#include <stdio.h>

static const char *kind_title(const struct sampler_config *c)
{
	switch (c->kind) {
	case SAMPLER_DDPM: return "DDPM";
	case SAMPLER_DDIM: return "DDIM";
	case SAMPLER_PNDM: return "PLMS";
	case SAMPLER_LMS: return "LMS";
	case SAMPLER_EULER: return "Euler";
	case SAMPLER_EULER_A: return "Euler a";
	case SAMPLER_HEUN: return "Heun";
	case SAMPLER_DPM2: return "DPM2";
	case SAMPLER_DPM2_A: return "DPM2 a";
	case SAMPLER_DPM_SINGLE: return c->order == 3 ? "DPM++ 3S" : c->order == 1 ? "DPM++ 1S" : "DPM++ 2S";
	case SAMPLER_DPM_MULTI: return c->order == 3 ? "DPM++ 3M" : c->order == 1 ? "DPM++ 1M" : "DPM++ 2M";
	case SAMPLER_UNIPC: return "UniPC";
	}
	return "";
}

void sampler_title(char out[64], const struct sampler_config *c)
{
	const char *spread = c->spread == SIGMAS_KARRAS ? " Karras" :
		c->spread == SIGMAS_EXPONENTIAL ? " Exponential" : "";

	snprintf(out, 64, "%s%s%s", kind_title(c),
		 c->kind == SAMPLER_DPM_MULTI && c->sde ? " SDE" : "", spread);
}

void parameters_text(struct buf *out, const struct parameters *p)
{
	char hex[OID_HEX + 1];

	buf_addf(out, "%s\n", p->o->prompt);
	if (*p->o->negative)
		buf_addf(out, "Negative prompt: %s\n", p->o->negative);
	buf_addf(out, "Steps: %lld, Sampler: %s, CFG scale: %g, Seed: %llu, Size: %lldx%lld", (long long)p->o->steps,
		 p->sampler, p->o->scale, (unsigned long long)p->seed, (long long)p->o->width,
		 (long long)p->o->height);
	buf_addf(out, ", Model hash: %.10s", oid_hex(p->model, hex));
	if (p->weights)
		buf_addf(out, ", Trained weights: %.10s", oid_hex(p->weights, hex));
	if (p->loras)
		buf_addf(out, ", LoRAs: %d", p->loras);
	if (p->o->clip_skip > 1)
		buf_addf(out, ", Clip skip: %lld", (long long)p->o->clip_skip);
	if (p->o->eta > 0)
		buf_addf(out, ", Eta: %g", p->o->eta);
}
