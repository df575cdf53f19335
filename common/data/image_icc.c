/*
 * Embedded colour profiles, by Little CMS. Most profiles in photographs are sRGB under some name.
 * Whether one is, is seen in its primaries and curves, and else by converting a grid of colours: if
 * none moves by more than one step, the pixels stay. (Making a conversion takes as long as decoding
 * a small picture.)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lcms2.h>
#include <lcms2_plugin.h>
#include "common/base/mem.h"
#include "common/data/image_codec.h"

#define GRID 9          /* steps an axis of the test colours */
#define PIECE_MOST (16 << 20)   /* bytes of one table: the largest that CMYK takes are 2 MiB */

static cmsUInt32Number format_of(enum pixel_layout layout)
{
	switch (layout) {
	case LAYOUT_GREY: return TYPE_GRAY_8;
	case LAYOUT_GREY_ALPHA: return TYPE_GRAYA_8;
	case LAYOUT_RGB: return TYPE_RGB_8;
	case LAYOUT_RGBA: return TYPE_RGBA_8;
	case LAYOUT_CMYK: return TYPE_CMYK_8_REV;
	}
	return 0;
}

static cmsColorSpaceSignature space_of(enum pixel_layout layout)
{
	return layout == LAYOUT_CMYK	     ? cmsSigCmykData
	       : layout <= LAYOUT_GREY_ALPHA ? cmsSigGrayData
					     : cmsSigRgbData;
}

static int has_alpha(enum pixel_layout layout)
{
	return layout == LAYOUT_GREY_ALPHA || layout == LAYOUT_RGBA;
}

/* Does the transform leave RGB colours (or greys) where they are? */
static int changes_nothing(cmsHTRANSFORM t, enum pixel_layout layout)
{
	uint8_t in[4] = { 0, 0, 0, 255 }, out[4];
	int n = layout <= LAYOUT_GREY_ALPHA ? 256 : GRID * GRID * GRID,
	    grey = layout <= LAYOUT_GREY_ALPHA;

	if (layout == LAYOUT_CMYK)
		return 0;
	for (int i = 0; i < n; i++) {
		for (int c = 0, rest = i; c < 3; c++, rest /= GRID)
			in[c] = grey ? i : rest % GRID * 255 / (GRID - 1);
		if (grey)
			in[1] = 255;
		cmsDoTransform(t, in, out, 1);
		for (int c = 0; c < 3; c++)
			if (abs(out[c] - (grey ? i : in[c])) > 1)
				return 0;
	}
	return 1;
}

static double srgb_encode(double linear)
{
	return linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
}

static int curve_is_srgb(cmsHPROFILE p, cmsTagSignature tag)
{
	const cmsToneCurve *curve = cmsReadTag(p, tag);

	for (int i = 0; curve && i <= 16; i++)
		if (fabs(srgb_encode(cmsEvalToneCurveFloat(curve, i / 16.0f)) - i / 16.0)
		    > 0.6 / 255)
			return 0;
	return curve != NULL;
}

/* Three primaries (adapted to D50, as profiles hold them) and three curves, and no table that would
 * count more. */
static int is_srgb(cmsHPROFILE p)
{
	static const cmsTagSignature primary[] = { cmsSigRedColorantTag, cmsSigGreenColorantTag,
						   cmsSigBlueColorantTag };
	static const cmsTagSignature curve[] = { cmsSigRedTRCTag, cmsSigGreenTRCTag,
						 cmsSigBlueTRCTag };
	static const double want[3][3] = { { 0.4361, 0.2225, 0.0139 },
					   { 0.3851, 0.7169, 0.0971 },
					   { 0.1431, 0.0606, 0.7141 } };

	if (!cmsIsMatrixShaper(p) || cmsIsTag(p, cmsSigAToB0Tag))
		return 0;
	for (int i = 0; i < 3; i++) {
		const cmsCIEXYZ *c = cmsReadTag(p, primary[i]);

		if (!c || fabs(c->X - want[i][0]) > 2e-3 || fabs(c->Y - want[i][1]) > 2e-3
		    || fabs(c->Z - want[i][2]) > 2e-3)
			return 0;
		if (!curve_is_srgb(p, curve[i]))
			return 0;
	}
	return 1;
}

static void describe(cmsHPROFILE from, char *name, size_t size)
{
	snprintf(name, size, "%s", "unnamed profile");
	cmsGetProfileInfoASCII(from, cmsInfoDescription, "en", "US", name, size);
	for (char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
}

static int convert(struct picture *p, cmsHTRANSFORM t)
{
	int alpha = has_alpha(p->layout), in = layout_channels(p->layout), out = alpha ? 4 : 3;
	struct picture to = { .w = p->w, .h = p->h, .layout = alpha ? LAYOUT_RGBA : LAYOUT_RGB };
	struct err ignored;

	if (picture_pixels(&to, &ignored) < 0)
		return -1;
	for (int y = 0; y < p->h; y++)
		cmsDoTransform(t, p->at + (size_t)y * p->w * in, to.at + (size_t)y * p->w * out,
			       p->w);
	free(p->at);
	p->at = to.at;
	p->layout = to.layout;
	return 1;
}

/* The library takes and clears what a profile's tags promise, which a hundred bytes can make half a gigabyte. */
static void *take(cmsContext c, cmsUInt32Number n)
{
	(void)c;
	return n <= PIECE_MOST ? malloc(n) : NULL;
}

static void *take_again(cmsContext c, void *at, cmsUInt32Number n)
{
	(void)c;
	return n <= PIECE_MOST ? realloc(at, n) : NULL;
}

static void give_back(cmsContext c, void *at)
{
	(void)c;
	free(at);
}

static cmsContext context(void)
{
	cmsPluginMemHandler memory = {
		.base = { cmsPluginMagicNumber, LCMS_VERSION, cmsPluginMemHandlerSig, NULL },
		.MallocPtr = take, .FreePtr = give_back, .ReallocPtr = take_again,
	};

	return cmsCreateContext(&memory, NULL);
}

int icc_to_srgb(struct picture *p, char *name, size_t size)
{
	cmsContext c = NULL;
	cmsHPROFILE from = NULL, to = NULL;
	cmsHTRANSFORM t = NULL;
	int ret = -1;

	snprintf(name, size, "damaged profile");
	if (!p->icc.len)
		return 0;
	c = context();
	from = c ? cmsOpenProfileFromMemTHR(c, p->icc.at, p->icc.len) : NULL;
	if (!from)
		goto out;
	describe(from, name, size);
	if (cmsGetColorSpace(from) != space_of(p->layout))
		goto out;
	if (space_of(p->layout) == cmsSigRgbData && is_srgb(from)) {
		ret = 0;
		goto out;
	}
	to = cmsCreate_sRGBProfileTHR(c);
	if (!to)
		goto out;
	t = cmsCreateTransformTHR(c, from, format_of(p->layout), to,
				  has_alpha(p->layout) ? TYPE_RGBA_8 : TYPE_RGB_8, INTENT_PERCEPTUAL,
				  has_alpha(p->layout) ? cmsFLAGS_COPY_ALPHA : 0);
	if (!t)
		goto out;
	ret = changes_nothing(t, p->layout) ? 0 : p->at ? convert(p, t) : 1;
out:
	if (t)
		cmsDeleteTransform(t);
	if (from)
		cmsCloseProfile(from);
	if (to)
		cmsCloseProfile(to);
	if (c)
		cmsDeleteContext(c);
	return ret;
}
