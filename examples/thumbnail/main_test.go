package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
)

// picture is a deterministic image that does not compress well: left half
// reddish, right half bluish, with noise.
func picture(width, height int) *image.NRGBA {
	rng := rand.New(rand.NewPCG(1, 2))
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			noise := uint8(rng.IntN(56))
			c := color.NRGBA{R: 200 + noise, G: noise, B: noise, A: 255}
			if x >= width/2 {
				c = color.NRGBA{R: noise, G: noise, B: 200 + noise, A: 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func encoded(t *testing.T, img image.Image, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, img)
	if format == "jpeg" {
		b.Reset()
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestThumbnail(t *testing.T) {
	for _, c := range []struct {
		format        string
		width, height int
		toW, toH      int
	}{
		{"png", 640, 480, 128, 96},
		{"jpeg", 640, 480, 128, 96},
		{"png", 333, 500, 85, 128},
		{"png", 100, 50, 100, 50}, // already small enough
		{"png", 3000, 10, 128, 1}, // no side becomes zero
	} {
		in := encoded(t, picture(c.width, c.height), c.format)
		res, err := sdk.Do(t.Context(), sdk.Request{Input: in})
		if err != nil {
			t.Errorf("%s %dx%d: %v", c.format, c.width, c.height, err)
			continue
		}
		if res.ContentType != "image/png" {
			t.Errorf("content type %q", res.ContentType)
		}
		out, err := png.Decode(bytes.NewReader(res.Output))
		if err != nil {
			t.Fatal(err)
		}
		if size := out.Bounds().Size(); size != image.Pt(c.toW, c.toH) {
			t.Errorf("%s %dx%d: became %v, want %dx%d", c.format, c.width, c.height, size, c.toW, c.toH)
		}
		left, right := color.NRGBAModel.Convert(out.At(c.toW/4, c.toH/2)).(color.NRGBA), color.NRGBAModel.Convert(out.At(c.toW*3/4, c.toH/2)).(color.NRGBA)
		if left.R < 180 || left.B > 80 || right.B < 180 || right.R > 80 {
			t.Errorf("%s %dx%d: left is %v, right is %v", c.format, c.width, c.height, left, right)
		}
	}
}

func TestShrinkTakesTheMean(t *testing.T) {
	src := image.NewGray(image.Rect(5, 5, 8, 8)) // its origin is not at zero
	copy(src.Pix, []uint8{0, 90, 240, 30, 60, 90, 90, 90, 90})
	if got := shrink(src, 1, 1).RGBAAt(0, 0); got.R != 87 { // 780/9 = 86.67
		t.Errorf("the mean of all is %v", got)
	}
	// From 3 to 2 columns: the middle one is split in half. (0+90/2)/1.5 = 30.
	if got := shrink(src, 2, 3).RGBAAt(0, 0); got.R != 30 {
		t.Errorf("a column and a half is %v", got)
	}
	same := shrink(src, 3, 3)
	for i, want := range src.Pix {
		if got := same.Pix[i*4]; got != want {
			t.Errorf("pixel %d became %d, was %d", i, got, want)
		}
	}
}

func TestShrinkKeepsTransparency(t *testing.T) {
	src := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	src.SetNRGBA(0, 0, color.NRGBA{R: 255, A: 255})
	src.SetNRGBA(1, 0, color.NRGBA{G: 255}) // invisible: its green must not show
	if got := shrink(src, 1, 1).RGBAAt(0, 0); got.G != 0 || got.A != 128 || got.R != 128 {
		t.Errorf("got %v", got)
	}
}

// bomb returns a PNG of about a hundred bytes that claims a size.
func bomb(t *testing.T, width, height uint32) []byte {
	t.Helper()
	b := encoded(t, image.NewGray(image.Rect(0, 0, 1, 1)), "png")
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func TestRefusals(t *testing.T) {
	whole := encoded(t, picture(64, 64), "png")
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":     {nil, "the input (0 bytes) is not a PNG or JPEG image"},
		"text":      {[]byte("hello"), "the input (5 bytes) is not a PNG or JPEG image"},
		"gif":       {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"), "is not a PNG or JPEG image"},
		"broken":    {whole[:20], "the input is a broken image"},
		"cut off":   {whole[:len(whole)/2], "the input is a broken png"},
		"bomb":      {bomb(t, 50_000, 50_000), "the image is 50000 x 50000 pixels, the limit is 16777216 in all"},
		"overflow":  {bomb(t, 1<<31-1, 1<<31-1), "dimension overflow"},
		"no pixels": {bomb(t, 0, 7), "non-positive dimension"},
	} {
		_, err := sdk.Call(t.Context(), c.in)
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != sdk.InvalidArgument || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: got %v, want invalid_argument with %q", name, err, c.want)
		}
	}
}

func TestSizeFromTheEnvironment(t *testing.T) {
	in := encoded(t, picture(64, 32), "png")
	t.Setenv("THUMB_SIZE", "16")
	out, err := sdk.Call(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if config, err := png.DecodeConfig(bytes.NewReader(out)); err != nil || config.Width != 16 || config.Height != 8 {
		t.Errorf("got %d x %d, %v", config.Width, config.Height, err)
	}
	for _, bad := range []string{"big", "0", "-5", "1025"} {
		t.Setenv("THUMB_SIZE", bad)
		_, err := sdk.Call(t.Context(), in)
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != sdk.FailedPrecondition || !strings.Contains(e.Message, "THUMB_SIZE is \""+bad) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
