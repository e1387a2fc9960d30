package demo

import (
	"image"
	"image/color"
	"image/png"
	"os"
)

// writePhoto makes a picture that is too varied to be small.
func writePhoto(file string) error {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			img.Set(x, y, color.RGBA{uint8(x * y >> 4), uint8(x*x>>6 ^ y), uint8(y*y>>5 + x), 255})
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func pngSize(file string) (width, height int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	return c.Width, c.Height, err
}
