package main

import (
	"image"
	"image/draw"
)

// fit returns the size of a thumbnail whose longest side is at most side. An
// image that already fits keeps its size; no side becomes zero.
func fit(width, height, side int) (int, int) {
	longest := max(width, height)
	if longest <= side {
		return width, height
	}
	scale := func(n int) int { return max(1, (n*side+longest/2)/longest) }
	return scale(width), scale(height)
}

// shrink makes an image smaller: each new pixel is the mean of the area that it
// covers, which is exact even if the sizes do not divide. width and height must
// be at most those of src. Besides the result it needs memory for two rows.
func shrink(src image.Image, width, height int) *image.RGBA {
	from := src.Bounds()
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	// Along an axis, in units in which the source is n*m long, a source pixel
	// is m wide and a new one n: all overlaps are whole numbers.
	row := image.NewRGBA(image.Rect(0, 0, from.Dx(), 1))
	sums := make([]uint64, width*4)  // of one source row, weights adding up to from.Dx()
	total := make([]uint64, width*4) // of the new row, weights adding up to from.Dx()*from.Dy()
	area := uint64(from.Dx()) * uint64(from.Dy())
	y, left := 0, from.Dy() // new row, and how much it still lacks
	for sy := range from.Dy() {
		draw.Draw(row, row.Bounds(), src, image.Pt(from.Min.X, from.Min.Y+sy), draw.Src)
		sumRow(sums, row.Pix, from.Dx(), width)
		for have := height; have > 0; {
			part := min(have, left)
			for i, sum := range sums {
				total[i] += sum * uint64(part)
			}
			have, left = have-part, left-part
			if left > 0 {
				continue
			}
			line := dst.Pix[y*dst.Stride:]
			for i, sum := range total {
				line[i] = uint8((sum + area/2) / area)
			}
			clear(total)
			y, left = y+1, from.Dy()
		}
	}
	return dst
}

// sumRow sums the pixels of one row, with four channels each, weighted by how
// much of them each of the width new pixels covers.
func sumRow(sums []uint64, pix []uint8, n, width int) {
	clear(sums)
	x, left := 0, n
	for sx := range n {
		p := pix[sx*4 : sx*4+4]
		for have := width; have > 0; {
			part := min(have, left)
			for c := range 4 {
				sums[x*4+c] += uint64(p[c]) * uint64(part)
			}
			have, left = have-part, left-part
			if left == 0 {
				x, left = x+1, n
			}
		}
	}
}
