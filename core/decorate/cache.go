package decorate

import (
	"context"
	"crypto/sha256"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"weak"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Compiler compiles the schemas of decorators, each content once: creating a
// decorator, publishing with it and calling a service that carries it share the
// result as long as one of them holds it. Few schemas are compiled at the same time, so
// that they cannot take the processors from calls; those that are only asked to
// be stored do not hold up those that are.
type Compiler struct {
	slots, requests chan struct{}
	// quiet returns memory to the system when there was nothing large for a while.
	quiet *time.Timer
	// checkers that are not in use.
	checkers sync.Pool

	mu   sync.Mutex
	made map[digest]weak.Pointer[compiled]
}

type digest [sha256.Size]byte

// NewCompiler returns a compiler that uses at most half of the processors for
// what is stored, and one for what is asked to be.
func NewCompiler() *Compiler {
	c := &Compiler{
		slots:    make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		requests: make(chan struct{}, 1),
		made:     make(map[digest]weak.Pointer[compiled]),
		quiet:    time.AfterFunc(time.Hour, debug.FreeOSMemory),
	}
	c.quiet.Stop()
	return c
}

// Compiling a schema of a hundred kilobytes leaves some ten megabytes of garbage, and
// so does an input of a megabyte. The collector would keep it for what comes next
// even if nothing comes.
const (
	largeSchema = 16 << 10
	largeInput  = 256 << 10
	quietAfter  = time.Second
)

// Close ends what the compiler has left to do.
func (c *Compiler) Close() { c.quiet.Stop() }

// schema is the input schema of one decorator.
type schema struct {
	compiler *Compiler
	source   *structpb.Struct

	once   sync.Once
	shared *compiled
}

// compiled is what decorators with equal schemas share. It is compiled when it is
// first needed.
type compiled struct {
	once    sync.Once
	done    chan struct{} // closed when rule and refused are set
	rule    *rule
	refused *refusal
}

// Decorator returns d with its schema, which is neither compiled nor looked at
// yet; see [Decorator.Ready].
func (c *Compiler) Decorator(d *ruedov1.Decorator) *Decorator {
	if d.GetInputSchema() == nil {
		return &Decorator{Decorator: d}
	}
	return &Decorator{Decorator: d, schema: &schema{compiler: c, source: d.GetInputSchema()}}
}

// find returns what decorators with this schema share.
func (c *Compiler) find(source *structpb.Struct) *compiled {
	s := &compiled{done: make(chan struct{})}
	if proto.Size(source) > 4*maxSchema {
		return s // refused soon enough; not worth a digest
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(source)
	if err != nil {
		return s
	}
	key := digest(sha256.Sum256(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.made[key].Value(); have != nil {
		return have
	}
	c.made[key] = weak.Make(s)
	runtime.AddCleanup(s, c.forget, key)
	return s
}

// forget drops what nobody holds any more.
func (c *Compiler) forget(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.made[key]; ok && p.Value() == nil {
		delete(c.made, key)
	}
}

// ready compiles the schema if nobody has, within ctx, and returns what is wrong
// with it.
func (s *schema) ready(ctx context.Context, slots chan struct{}) (*refusal, error) {
	s.once.Do(func() { s.shared = s.compiler.find(s.source) })
	c := s.shared
	select {
	case <-c.done:
		return c.refused, nil
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-c.done:
		return c.refused, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case slots <- struct{}{}:
	}
	defer func() { <-slots }()
	c.once.Do(func() {
		c.rule, c.refused = compile(s.source)
		close(c.done)
		if proto.Size(s.source) > largeSchema {
			s.compiler.quiet.Reset(quietAfter)
		}
	})
	return c.refused, nil
}

// Admit returns d if its schema may be stored: SCHEMA_INVALID, SCHEMA_REMOTE_REF
// or SCHEMA_LIMIT say why not. Call [Decorator.Keep] when it is in use.
func (c *Compiler) Admit(ctx context.Context, d *ruedov1.Decorator) (*Decorator, error) {
	dec := c.Decorator(d)
	return dec, dec.ready(ctx, c.requests)
}

// Ready compiles the decorator's schema if nobody has, within ctx, and returns
// what is wrong with it, as [Compiler.Admit] does. It returns immediately if the
// schema is compiled.
func (d *Decorator) Ready(ctx context.Context) error {
	if d.schema == nil {
		return nil
	}
	return d.ready(ctx, d.schema.compiler.slots)
}

func (d *Decorator) ready(ctx context.Context, slots chan struct{}) error {
	if d.schema == nil {
		return nil
	}
	refused, err := d.schema.ready(ctx, slots)
	if err != nil {
		return err
	}
	if refused != nil {
		return refused.of(d.GetName())
	}
	return nil
}

// Keep holds the compiled schema at least until it is called: what is not held
// is compiled again.
func (d *Decorator) Keep() { runtime.KeepAlive(d.schema) }
