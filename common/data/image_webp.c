/* WebP, by libwebp. An animation is refused: a picture was wanted. */
#include <limits.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>
#include "common/data/image_codec.h"

static void read_chunks(struct picture *p, const WebPDemuxer *d)
{
	WebPChunkIterator c;

	if (WebPDemuxGetChunk(d, "ICCP", 1, &c)) {
		buf_add(&p->icc, c.chunk.bytes, c.chunk.size);
		WebPDemuxReleaseChunkIterator(&c);
	}
	if (WebPDemuxGetChunk(d, "EXIF", 1, &c)) {
		/* The chunk holds a TIFF header; some programs leave JPEG's prefix in front. */
		int skip = c.chunk.size > 6 && !memcmp(c.chunk.bytes, "Exif\0", 6) ? 6 : 0;

		p->orientation = exif_orientation(c.chunk.bytes + skip, c.chunk.size - skip);
		WebPDemuxReleaseChunkIterator(&c);
	}
}

static int read_header(struct picture *p, const uint8_t *at, size_t len, struct err *e)
{
	WebPData data = { at, len };
	WebPBitstreamFeatures f;
	WebPDemuxState state;
	WebPDemuxer *d;
	VP8StatusCode status = WebPGetFeatures(at, len, &f);

	if (status == VP8_STATUS_NOT_ENOUGH_DATA)
		return fail(e, "the WebP data are truncated");
	if (status != VP8_STATUS_OK)
		return fail(e, "damaged WebP header");
	if (f.has_animation)
		return fail(e, "the WebP file is an animation; a single picture is wanted");
	p->w = f.width;
	p->h = f.height;
	p->bits = 8;
	p->layout = f.has_alpha ? LAYOUT_RGBA : LAYOUT_RGB;
	d = WebPDemuxPartial(&data, &state);
	if (d)
		read_chunks(p, d);
	WebPDemuxDelete(d);
	return 0;
}

static int read_pixels(struct picture *p, const uint8_t *at, size_t len, struct err *e)
{
	WebPDecoderConfig c;
	size_t row = (size_t)p->w * layout_channels(p->layout);
	VP8StatusCode status;

	if (!WebPInitDecoderConfig(&c))
		return fail(e, "the WebP library is of another version than its headers");
	if (picture_pixels(p, e) < 0)
		return -1;
	c.output.colorspace = p->layout == LAYOUT_RGBA ? MODE_RGBA : MODE_RGB;
	c.output.is_external_memory = 1;
	c.output.u.RGBA.rgba = p->at;
	c.output.u.RGBA.stride = (int)row;
	c.output.u.RGBA.size = row * p->h;
	status = WebPDecode(at, len, &c);
	WebPFreeDecBuffer(&c.output);
	if (status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED)
		return fail(e, "the WebP data are truncated");
	if (status != VP8_STATUS_OK)
		return fail(e, "damaged WebP data (libwebp's status %d)", status);
	return 0;
}

int webp_decode(struct picture *p, enum decode_how how, const uint8_t *at, size_t len,
		struct err *e)
{
	if (read_header(p, at, len, e) < 0)
		return -1;
	if (how == DECODE_HEADER)
		return 0;
	if (picture_limit(p->w, p->h, e) < 0)
		return -1;
	return read_pixels(p, at, len, e);
}
