package doctor

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/text"
	"github.com/ruedo-dev/ruedo/runner"
	"github.com/ruedo-dev/ruedo/sandbox/pristine"
)

const (
	// wantFiles is how many files a core with 8,192 connections has open, with
	// some to spare; below fewFiles nothing works well.
	wantFiles = 10_000
	fewFiles  = 512
	// wantRoom and fewRoom are how much free space a disk should have.
	wantRoom = 1 << 30
	fewRoom  = 100 << 20
	// slowSync is how long a disk can take to write 4 KiB for good.
	slowSync = 50 * time.Millisecond
	syncs    = 8
)

// DefaultHeap is the memory limit of the garbage collector of processes that
// serve, in bytes, unless GOMEMLIMIT sets another.
const DefaultHeap = 2 << 30

// memoryLimit returns how much memory there is for this process, and who says
// so: its control group (version 1 or 2), or the machine. Zero if that is not known.
func memoryLimit() (bytes uint64, where string) {
	bytes, limited := runner.Memory()
	switch {
	case bytes == 0:
		return 0, ""
	case limited:
		return bytes, "the control group of this process"
	}
	return bytes, "this machine"
}

// clock reports whether the time of this machine is kept by a time service.
func clock() []*ruedov1.HealthCheck {
	switch synchronised, known := clockSynchronised(); {
	case !known:
		return found(ok, "clock", "whether a time service keeps it is not known on this system", "")
	case !synchronised:
		return found(warning, "clock", "no time service keeps it", "start one (NTP), for example chrony or systemd-timesyncd")
	}
	return found(ok, "clock", "kept by a time service", "")
}

func openFiles(limit uint64) []*ruedov1.HealthCheck {
	const fix = "raise it: LimitNOFILE=65536 in a systemd unit, ulimit -n 65536 in a shell"
	what := fmt.Sprintf("at most %d open files", limit)
	switch {
	case limit == 0 || limit > math.MaxInt64:
		return found(ok, "files", "no limit is known", "")
	case limit < fewFiles:
		return found(bad, "files", what+", which is not enough for a store", fix)
	case limit < wantFiles:
		return found(warning, "files", what+": a core takes fewer than 8,192 connections", fix)
	}
	return found(ok, "files", what, "")
}

// sandbox tries what the sandbox needs of the kernel to put an instance back.
func sandbox() []*ruedov1.HealthCheck {
	image, err := pristine.NewImage(make([]byte, 64<<10), pristine.Config{})
	if err != nil {
		return found(bad, "sandbox", "memory of guests cannot be made: "+err.Error(), "allow this process memfd_create and mmap; look at the seccomp profile of the container")
	}
	defer func() { _ = image.Close() }()
	switch how := image.Method(); how {
	case pristine.MethodHotSet:
		return found(ok, "sandbox", "the kernel has all that it uses", "")
	case pristine.MethodPlain:
		return found(warning, "sandbox", "instances are copied and share nothing: this needs Linux on amd64 or arm64", "for speed, start runners on such a machine")
	default:
		return found(warning, "sandbox", "the kernel lacks PAGEMAP_SCAN: calls that write much memory cost more ("+how.String()+")", "for speed, use Linux 6.7 or later, and allow ioctl on /proc/self/pagemap")
	}
}

// memory compares what the garbage collector may use with what the machine or
// the control group of this process has: limit bytes of where.
func memory(goMemLimit string, limit uint64, where string) []*ruedov1.HealthCheck {
	heap, from := uint64(DefaultHeap), "the default"
	if n, ok := parseMemory(goMemLimit); ok {
		heap, from = n, "GOMEMLIMIT"
	}
	if limit == 0 {
		return found(ok, "memory", "how much there is is not known on this system", "")
	}
	what := fmt.Sprintf("%s has %s, and the heap of a core or runner may grow to %s (%s)", where, output.Size(limit), output.Size(heap), from)
	if heap > limit/10*9 {
		return found(warning, "memory", what+": the kernel ends the process first", fmt.Sprintf("set GOMEMLIMIT=%dMiB in its environment", limit/4*3>>20))
	}
	return found(ok, "memory", what, "")
}

// parseMemory reads a value of GOMEMLIMIT, as package runtime does.
func parseMemory(s string) (bytes uint64, ok bool) {
	if s == "off" {
		return math.MaxInt64, true
	}
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, cut := strings.CutSuffix(s, unit); cut {
			s, shift = rest, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "B"), 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// disk looks at the disk of a directory that exists, or will: its room, and how
// long it takes to write a little for good.
func disk(name, dir string) []*ruedov1.HealthCheck {
	check := "disk of the " + name
	if dir == "" {
		return found(warning, check, "there is no directory for it", "set HOME or XDG_CACHE_HOME, or runner.cache_dir")
	}
	dir = existing(dir)
	took, err := sync(dir)
	if err != nil {
		return found(bad, check, dir+" cannot be written: "+text.Cause(err), "give the user of this process a directory that it can write")
	}
	free, known := room(dir)
	what := fmt.Sprintf("%s: a write takes %s", dir, output.Duration(took))
	if known {
		what = fmt.Sprintf("%s: %s free, a write takes %s", dir, output.Size(free), output.Duration(took))
	}
	switch {
	case known && free < fewRoom:
		return found(bad, check, what, "make room")
	case known && free < wantRoom:
		return found(warning, check, what, "make room")
	case took > slowSync && name == "store":
		return found(warning, check, what+", which makes every publish slow", "put the store on a faster disk that nothing else keeps busy")
	}
	return found(ok, check, what, "")
}

// existing returns the nearest directory above dir that exists.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		break
	}
	return dir
}

// sync returns how long the slowest of some small writes to a disk takes. Its
// file is gone when it returns.
func sync(dir string) (slowest time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".ruedo-doctor-")
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	for range syncs {
		began := time.Now()
		if _, err := f.WriteAt(make([]byte, 4<<10), 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		slowest = max(slowest, time.Since(began))
	}
	return slowest, nil
}
