// Command thumbnail is a service of bytes: a PNG or JPEG in, a small PNG out.
package main

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/jpeg" // a format that image.Decode reads
	"image/png"
	"log/slog"
	"os"
	"strconv"

	"github.com/ruedo-dev/ruedo/sdk"
)

const (
	defaultSide = 128
	maxSide     = 1024
	// maxPixels bounds the memory for decoding: up to 8 bytes per pixel, and a
	// file of a few kilobytes can claim any size.
	maxPixels = 16 << 20
)

func init() { sdk.HandleBytes(thumbnail) }

func thumbnail(ctx context.Context, in []byte) ([]byte, error) {
	side, err := sideFromEnv()
	if err != nil {
		return nil, err
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(in))
	if errors.Is(err, image.ErrFormat) {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the input (%d bytes) is not a PNG or JPEG image", len(in))
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the input is a broken image: %w", err)
	}
	if config.Width < 1 || config.Height < 1 {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the image is %d x %d pixels: it is empty", config.Width, config.Height)
	}
	// Check before decoding, which would allocate the memory. Divide, because a
	// product could overflow.
	if config.Width > maxPixels/config.Height {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the image is %d x %d pixels, the limit is %d in all: send a smaller one",
			config.Width, config.Height, maxPixels)
	}
	src, _, err := image.Decode(bytes.NewReader(in))
	if err != nil {
		return nil, sdk.Errorf(sdk.InvalidArgument, "the input is a broken %s: %w", format, err)
	}
	width, height := fit(config.Width, config.Height, side)
	var out bytes.Buffer
	if err := png.Encode(&out, shrink(src, width, height)); err != nil {
		return nil, err
	}
	slog.Info("made a thumbnail", "format", format, "from_width", config.Width, "from_height", config.Height,
		"width", width, "height", height, "bytes", out.Len())
	sdk.SetContentType(ctx, "image/png")
	return out.Bytes(), nil
}

// sideFromEnv returns the longest side of a thumbnail, in pixels.
func sideFromEnv() (int, error) {
	s := os.Getenv("THUMB_SIZE")
	if s == "" {
		return defaultSide, nil
	}
	side, err := strconv.Atoi(s)
	if err != nil || side < 1 || side > maxSide {
		return 0, sdk.Errorf(sdk.FailedPrecondition, "THUMB_SIZE is %q: set it to a number of pixels from 1 to %d", s, maxSide)
	}
	return side, nil
}

func main() { sdk.Main() }
