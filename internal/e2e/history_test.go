//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// What may be written: a service, or a decorator. Both are registers with
// numbered contents.
const (
	opPublish  = "publish"  // creates or replaces a service
	opCreate   = "create"   // creates a decorator
	opUpdate   = "update"   // replaces a decorator
	opRollback = "rollback" // makes an earlier content live again
	opDelete   = "delete"
	opRead     = "read"
)

// operation is what a client asks for.
type operation struct {
	kind, key string
	content   string
	revision  int // of a rollback
}

// result is what came of an operation.
type result struct {
	// unknown: there was no answer, so it took effect or not, or will later.
	unknown   bool
	missing   bool // there is no such service or decorator
	exists    bool // there is one already
	revision  int  // that is live afterwards
	previous  int  // that was live before a rollback
	unchanged bool // it was live already
	content   string
}

// register is the state of a service or a decorator. A live revision of 0 means
// that it does not exist.
type register struct {
	live, latest int
	contents     string // of all revisions, separated by spaces
}

func (r register) content(n int) string { return strings.Fields(r.contents)[n-1] }

// apply returns what an operation does when nothing else goes on.
func (r register) apply(op operation) (register, result) {
	put := func() (register, result) {
		if r.live > 0 && r.content(r.live) == op.content {
			return r, result{revision: r.live, unchanged: true}
		}
		n := r.latest + 1
		return register{n, n, r.contents + op.content + " "}, result{revision: n}
	}
	switch {
	case op.kind == opPublish, op.kind == opCreate && r.live == 0:
		return put()
	case op.kind == opCreate:
		return r, result{exists: true}
	case r.live == 0:
		return r, result{missing: true}
	case op.kind == opUpdate:
		return put()
	case op.kind == opDelete:
		return register{}, result{}
	case op.kind == opRead:
		return r, result{revision: r.live, content: r.content(r.live)}
	case op.revision > r.latest:
		return r, result{}
	}
	return register{op.revision, r.latest, r.contents}, result{revision: op.revision, previous: r.live}
}

// registers is the model. An operation without an answer may take effect any time
// later. That it never does is the same as that it does so after all others.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			byKey := make(map[string][]porcupine.Operation)
			for _, op := range history {
				key := op.Input.(operation).key
				byKey[key] = append(byKey[key], op)
			}
			for _, key := range slices.Sorted(maps.Keys(byKey)) {
				parts = append(parts, byKey[key])
			}
			return parts
		},
		Init: func() any { return register{} },
		Step: func(state, input, output any) (bool, any) {
			was, got := state.(register), output.(result)
			next, want := was.apply(input.(operation))
			return got.unknown || got == want, next
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}
}

// historian has clients write, and records what they asked for and what they were
// told.
type historian struct {
	began time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	reasons map[string]int
	keys    map[string]bool
	wrong   []string
	epoch   epoch
}

// epoch is while the same names are written.
type epoch struct {
	number, unknown int
	began           time.Time
}

// Bounds of an epoch. How long it takes to decide whether a history is
// linearizable grows exponentially with the operations without an answer, because
// each may have taken effect at any time.
const (
	maxEpoch   = 10 * time.Second
	maxUnknown = 4
)

// now returns the number of the epoch.
func (h *historian) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch.unknown >= maxUnknown || time.Since(h.epoch.began) > maxEpoch {
		h.epoch = epoch{number: h.epoch.number + 1, began: time.Now()}
	}
	return h.epoch.number
}

// writes writes with one client until ctx ends. Each client has its own random
// order.
func (h *historian) writes(ctx context.Context, id int, c *client.Client, random *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		service := random.IntN(2) == 0
		key := fmt.Sprintf("%s-%d", map[bool]string{true: "service", false: "decorator"}[service], h.now())
		op := operation{key: key, content: version(id*1000000 + n)[2:]}
		switch k := random.IntN(20); {
		case k < 1:
			op.kind = opDelete
		case k < 5:
			op.kind, op.revision = opRollback, 1+random.IntN(12)
		case k < 7:
			op.content = "same" // a content that others write, too
			fallthrough
		default:
			op.kind = opPublish
			if !service {
				op.kind = []string{opCreate, opUpdate, opUpdate, opUpdate}[random.IntN(4)]
			}
		}
		if op.kind == opDelete || op.kind == opRollback {
			op.content = ""
		}
		h.record(id, c, op)
		pause(ctx, time.Duration(random.IntN(200))*time.Millisecond)
	}
}

// record does an operation and records it.
func (h *historian) record(id int, c *client.Client, op operation) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	call := time.Since(h.began)
	out, err := do(ctx, c, op)
	end := int64(time.Since(h.began))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys[op.key] = true
	if err != nil {
		p := client.Explain(err)
		h.reasons[op.kind+" "+p.Reason]++
		switch p.Reason {
		case "SERVICE_NOT_FOUND", "DECORATOR_NOT_FOUND":
			out = result{missing: true}
		case "ALREADY_EXISTS":
			out = result{exists: true}
		case "REVISION_NOT_FOUND", "CONFLICT":
			return // nothing was changed, and what was there is not said
		case "STORE_NO_QUORUM", "STORE_UNAVAILABLE", "CORE_UNREACHABLE", "CORE_BEHIND", "DEADLINE", "NO_RUNNER", "PREPARE_UNAVAILABLE":
			out, end = result{unknown: true}, math.MaxInt64
			if p.NotStarted {
				return
			}
			h.epoch.unknown++
		default:
			h.wrong = append(h.wrong, fmt.Sprintf("%+v: %v", op, err))
			out, end = result{unknown: true}, math.MaxInt64
		}
	}
	h.history = append(h.history, porcupine.Operation{ClientId: id, Input: op, Call: int64(call), Output: out, Return: end})
}

// do does an operation.
func do(ctx context.Context, c *client.Client, op operation) (result, error) {
	decorator := &ruedov1.Decorator{Name: op.key, Description: op.content}
	service := strings.HasPrefix(op.key, "service-")
	switch {
	case op.kind == opPublish:
		req := witnessRequest(op.key, 0)
		req.Env["V"] = op.content
		res, err := c.Services.PublishService(ctx, req)
		return result{revision: int(res.GetService().GetRevision().GetNumber()), unchanged: res.GetUnchanged()}, err
	case op.kind == opCreate:
		res, err := c.Decorators.CreateDecorator(ctx, &ruedov1.CreateDecoratorRequest{Decorator: decorator})
		return result{revision: int(res.GetDecorator().GetRevision())}, err
	case op.kind == opUpdate:
		res, err := c.Decorators.UpdateDecorator(ctx, &ruedov1.UpdateDecoratorRequest{Decorator: decorator})
		return result{revision: int(res.GetDecorator().GetRevision()), unchanged: res.GetUnchanged()}, err
	case op.kind == opRollback && service:
		res, err := c.Services.RollbackService(ctx, &ruedov1.RollbackServiceRequest{Name: op.key, Revision: uint64(op.revision)})
		return result{revision: int(res.GetService().GetRevision().GetNumber()), previous: int(res.GetPrevious())}, err
	case op.kind == opRollback:
		res, err := c.Decorators.RollbackDecorator(ctx, &ruedov1.RollbackDecoratorRequest{Name: op.key, Revision: uint64(op.revision)})
		return result{revision: int(res.GetDecorator().GetRevision()), previous: int(res.GetPrevious())}, err
	case op.kind == opDelete && service:
		_, err := c.Services.DeleteService(ctx, &ruedov1.DeleteServiceRequest{Name: op.key})
		return result{}, err
	case op.kind == opDelete:
		_, err := c.Decorators.DeleteDecorator(ctx, &ruedov1.DeleteDecoratorRequest{Name: op.key})
		return result{}, err
	case service:
		res, err := c.Services.GetService(ctx, &ruedov1.GetServiceRequest{Name: op.key})
		rev := res.GetService().GetRevision()
		return result{revision: int(rev.GetNumber()), content: rev.GetEnv()["V"]}, err
	default:
		res, err := c.Decorators.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: op.key})
		return result{revision: int(res.GetDecorator().GetRevision()), content: res.GetDecorator().GetDescription()}, err
	}
}

// Publish, rollback, delete and the changes of decorators are linearizable,
// whatever happens to the cores and to the network between them: what clients
// were told is what one process could have answered, one request at a time.
func TestWritesAreLinearizable(t *testing.T) {
	source := random(t)
	x := newTormentor(newRing(t, 3, 0), source)
	c := x.client(0)
	if _, err := c.Upload(t.Context(), witness(), nil); err != nil {
		t.Fatal(err)
	}
	h := &historian{began: time.Now(), reasons: make(map[string]int), keys: make(map[string]bool), epoch: epoch{began: time.Now()}}
	ctx, cancel := context.WithCancel(context.Background())
	var clients []*client.Client
	var wg sync.WaitGroup
	for id := range 5 {
		order := rand.New(rand.NewPCG(source.Uint64(), uint64(id)))
		clients = append(clients, x.client(id))
		wg.Go(func() { h.writes(ctx, id, clients[id], order) })
	}
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	defer stop()
	x.torment(*faultsFor)
	t.Logf("all is well %v after the last fault", x.healthy(heal).Round(100*time.Millisecond))
	stop()

	// Every core shows what there is in the end. Its clients require all that was
	// acknowledged.
	var seen []string
	for _, c := range clients {
		seen = append(seen, c.Revision())
	}
	for i, core := range x.cores {
		c := strictClient("127.0.0.1:"+core.port, client.WithMinRevision(latest(seen)))
		for _, key := range slices.Sorted(maps.Keys(h.keys)) {
			h.record(100+i, c, operation{kind: opRead, key: key})
		}
	}
	h.check(t)
	t.Logf("faults: %v", x.done)
}

// latest returns the highest of the revisions of one store.
func latest(revisions []string) string {
	return slices.MaxFunc(revisions, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
}

// check decides whether the history is linearizable.
func (h *historian) check(t *testing.T) {
	t.Helper()
	unknown := 0
	for _, op := range h.history {
		if op.Output.(result).unknown {
			unknown++
		}
	}
	began := time.Now()
	model := registers()
	verdict, info := porcupine.CheckOperationsVerbose(model, h.history, 2*time.Minute)
	t.Logf("%d operations on %d names, %d without an answer: %s after %v", len(h.history), len(h.keys), unknown, verdict, time.Since(began).Round(time.Millisecond))
	for _, reason := range slices.Sorted(maps.Keys(h.reasons)) {
		t.Logf("%6d %s", h.reasons[reason], reason)
	}
	for _, w := range h.wrong {
		t.Error(w)
	}
	if verdict != porcupine.Ok {
		dir, err := os.MkdirTemp("", "ruedo-history-")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "history.html")
		if err := porcupine.VisualizePath(model, info, path); err != nil {
			t.Error(err)
		}
		t.Errorf("the history is not linearizable (%s): %s shows it", verdict, path)
	}
	if ok := len(h.history) - unknown; ok < 20 {
		t.Errorf("only %d operations have an answer: this proves nothing", ok)
	}
}

// The model accepts what is right, and refuses what is wrong.
func TestTheModelOfWrites(t *testing.T) {
	op := func(kind, content string, revision int, call, end int64, out result) porcupine.Operation {
		return porcupine.Operation{Input: operation{kind: kind, key: "k", content: content, revision: revision}, Call: call, Return: end, Output: out}
	}
	never := int64(math.MaxInt64)
	first := op(opPublish, "a", 0, 0, 1, result{revision: 1})
	for _, row := range []struct {
		what    string
		ok      bool
		history []porcupine.Operation
	}{
		{"revisions in order", true, []porcupine.Operation{first, op(opPublish, "b", 0, 2, 3, result{revision: 2}), op(opRollback, "", 1, 4, 5, result{revision: 1, previous: 2})}},
		{"a revision that is lost", false, []porcupine.Operation{first, op(opPublish, "b", 0, 2, 3, result{revision: 2}), op(opPublish, "c", 0, 4, 5, result{revision: 2})}},
		{"two that are concurrent", true, []porcupine.Operation{op(opPublish, "b", 0, 0, 5, result{revision: 2}), op(opPublish, "a", 0, 1, 4, result{revision: 1})}},
		{"the same content again", true, []porcupine.Operation{first, op(opPublish, "a", 0, 2, 3, result{revision: 1, unchanged: true})}},
		{"no answer, and it took effect later", true, []porcupine.Operation{first, op(opPublish, "b", 0, 2, never, result{unknown: true}), op(opRead, "", 0, 3, 4, result{revision: 1, content: "a"}), op(opRead, "", 0, 5, 6, result{revision: 2, content: "b"})}},
		{"no answer, and it never took effect", true, []porcupine.Operation{first, op(opDelete, "", 0, 2, never, result{unknown: true}), op(opRead, "", 0, 3, 4, result{revision: 1, content: "a"})}},
		{"it took effect, and then not", false, []porcupine.Operation{first, op(opPublish, "b", 0, 2, never, result{unknown: true}), op(opRead, "", 0, 3, 4, result{revision: 2, content: "b"}), op(opRead, "", 0, 5, 6, result{revision: 1, content: "a"})}},
		{"a content that nobody was told of", false, []porcupine.Operation{first, op(opRead, "", 0, 4, 5, result{revision: 2, content: "b"})}},
		{"a deletion begins again at 1", true, []porcupine.Operation{first, op(opDelete, "", 0, 2, 3, result{}), op(opPublish, "a", 0, 4, 5, result{revision: 1})}},
		{"what was deleted is there", false, []porcupine.Operation{first, op(opDelete, "", 0, 2, 3, result{}), op(opRead, "", 0, 4, 5, result{revision: 1, content: "a"})}},
		{"an acknowledged one is not found", false, []porcupine.Operation{first, op(opRead, "", 0, 2, 3, result{missing: true})}},
	} {
		if got := porcupine.CheckOperations(registers(), row.history); got != row.ok {
			t.Errorf("%s: linearizable is %v, want %v", row.what, got, row.ok)
		}
	}
}
