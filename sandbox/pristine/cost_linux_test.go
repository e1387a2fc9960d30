//go:build amd64 || arm64

package pristine

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGrowthIsDroppedFirst keeps the hot pages of the image if only the growth
// of the guest is too much.
func TestGrowthIsDroppedFirst(t *testing.T) {
	m, r, _ := hotMemory(t, 2, 64*WasmPage, Config{Keep: 10 * 4096})
	call := func(grow bool) Cost {
		m.Begin()
		r.bytes[0], r.bytes[5*4096] = 0, 0
		if grow {
			r.Grow(60)
			clear(r.bytes[3*WasmPage:])
			for i := 3 * WasmPage; i < len(r.bytes); i += 4096 {
				r.bytes[i] = 1
			}
		}
		m.End()
		return restore(t, m, r)
	}
	call(false)
	if cost := call(true); cost.Path != PathDrop || cost.Pages != 2 {
		t.Errorf("restored %d pages by %s", cost.Pages, cost.Path)
	}
	checkHotSet(t, m)
	if cost := call(false); cost.Path != PathHot || cost.Pages != 2 {
		t.Errorf("restored %d pages by %s", cost.Pages, cost.Path)
	}
}

// TestScattered has more runs of private pages than one answer of the kernel
// can hold.
func TestScattered(t *testing.T) {
	m, r, b := hotMemory(t, 32, 32*WasmPage, Config{})
	pages := len(r.bytes) / b.file.page / 2
	for _, want := range []Path{PathScan, PathHot} {
		m.Begin()
		for n := range pages {
			r.bytes[2*n*b.file.page] = 0
		}
		m.End()
		if cost := restore(t, m, r); cost.Path != want || cost.Pages != pages {
			t.Errorf("restored %d pages of %d by %s", cost.Pages, pages, cost.Path)
		}
		same(t, "after a restore", r.bytes, b.file.view)
	}
}

// TestReadingIsFree reads pages of the image and zero pages, which stay shared.
func TestReadingIsFree(t *testing.T) {
	m, r, _ := hotMemory(t, 2, 4*WasmPage, Config{})
	m.Begin()
	r.bytes[0] = 0
	r.Grow(2)
	var sum int
	for _, v := range r.bytes {
		sum += int(v)
	}
	m.End()
	if cost := restore(t, m, r); cost.Path != PathScan || cost.Pages != 1 || sum == 0 {
		t.Errorf("restored %d pages by %s", cost.Pages, cost.Path)
	}
}

// TestIdleMemoriesCostLittle makes 200 memories over one image of 16 MiB, each
// of which wrote 8 pages.
func TestIdleMemoriesCostLittle(t *testing.T) {
	const count, touched = 200, 8
	first, _, _ := hotMemory(t, 256, 256<<20, Config{})
	before := private(t)
	for range count {
		m := newMemory(t, first.image, 256<<20)
		r := run(m, 0)
		m.Begin()
		for n := range touched {
			r.bytes[n*1<<20] = 0
		}
		m.End()
		restore(t, m, r)
	}
	each := (private(t) - before) / count
	t.Logf("an idle memory of 16 MiB with %d hot pages has %d KiB of its own", touched, each>>10)
	if each > 1<<20 {
		t.Errorf("%d bytes each", each)
	}
}

// private returns how many private bytes this process has, including page
// tables.
func private(t testing.TB) int {
	t.Helper()
	var sum int
	for file, keys := range map[string][]string{
		"/proc/self/smaps_rollup": {"Private_Dirty:", "Private_Clean:"},
		"/proc/self/status":       {"VmPTE:"},
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Skip(err)
		}
		for line := range strings.Lines(string(b)) {
			for _, key := range keys {
				if v, ok := strings.CutPrefix(line, key); ok {
					var kib int
					if _, err := fmt.Sscan(v, &kib); err != nil {
						t.Fatal(err)
					}
					sum += kib << 10
				}
			}
		}
	}
	return sum
}
