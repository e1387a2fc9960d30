package executortest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Source is a core's catalog in memory, which counts what it is asked. It may
// be used from many goroutines.
type Source struct {
	mu      sync.Mutex
	plans   map[string]*runnerv1.Plan
	modules map[string][]byte
	asked   map[string]int
}

var _ executor.Source = (*Source)(nil)

// NewSource makes an empty source.
func NewSource() *Source {
	return &Source{plans: make(map[string]*runnerv1.Plan), modules: make(map[string][]byte), asked: make(map[string]int)}
}

// Add makes a module and a plan for it known. Change may set limits and such;
// nil changes nothing. It gives the id of the plan, and the plan.
func (s *Source) Add(wasm []byte, change func(*runnerv1.Plan)) (id string, plan *runnerv1.Plan) {
	digest := hexDigest(wasm)
	plan = &runnerv1.Plan{
		Service:     "guest",
		Revision:    1,
		Module:      digest,
		ModuleBytes: uint64(len(wasm)),
		Kind:        ruedov1.Kind_KIND_FUNCTION,
		Limits:      &ruedov1.Limits{},
	}
	if change != nil {
		change(plan)
	}
	id, err := executor.PlanID(plan)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans[id], s.modules[digest] = plan, wasm
	return id, plan
}

// Forge replaces the bytes of a module, which no longer match its digest.
func (s *Source) Forge(digest string, wasm []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modules[digest] = wasm
}

// ForgePlan replaces the plan of an id, which no longer names it.
func (s *Source) ForgePlan(id string, plan *runnerv1.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans[id] = plan
}

// Asked tells how often a plan or a module was asked for.
func (s *Source) Asked(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[id]
}

// Plan gives a plan.
func (s *Source) Plan(_ context.Context, id string) (*runnerv1.Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[id]++
	if p := s.plans[id]; p != nil {
		return p, nil
	}
	return nil, fault.New(fault.PlanNotFound, "there is no plan %s", id)
}

// Module opens a module.
func (s *Source) Module(_ context.Context, digest string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[digest]++
	if b, ok := s.modules[digest]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return nil, fault.New(fault.ModuleNotFound, "there is no module %s", digest)
}

func hexDigest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// Guest builds the guest that the suite calls; see testdata/guest.
func Guest(t testing.TB) []byte { return build(t, "./testdata/guest") }

// built has a function for each directory of a guest that builds it once.
var built sync.Map

// build returns a guest. It is built once.
func build(t testing.TB, dir string) []byte {
	t.Helper()
	once, _ := built.LoadOrStore(dir, sync.OnceValues(func() ([]byte, error) { return module(dir) }))
	b, err := once.(func() ([]byte, error))()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func module(dir string) ([]byte, error) {
	temp, err := os.MkdirTemp("", "ruedo-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	_, file, _, _ := runtime.Caller(0)
	out := filepath.Join(temp, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, dir)
	cmd.Dir = filepath.Dir(file)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the guest: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}
