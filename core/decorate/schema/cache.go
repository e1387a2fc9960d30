package schema

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"weak"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/decorate/admission"
)

// Compiler compiles schemas. Equal schemas share the result as long as one of
// them is referenced. Only a few schemas are compiled at the same time, and
// those that are about to be stored do not delay those that are stored. It is
// safe for concurrent use.
type Compiler struct {
	// slots limits the compilations of stored schemas, and requests those of
	// schemas that are about to be stored.
	slots, requests chan struct{}
	// checkers holds checkers that are not in use.
	checkers sync.Pool

	mu   sync.Mutex
	made map[digest]weak.Pointer[compiled]
}

type digest [sha256.Size]byte

// NewCompiler returns a compiler that uses at most half of the CPUs for stored
// schemas, and one for schemas that are about to be stored.
func NewCompiler() *Compiler {
	return &Compiler{
		slots:    make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		requests: make(chan struct{}, 1),
		made:     make(map[digest]weak.Pointer[compiled]),
	}
}

// compiled is what equal schemas share. It is compiled when it is first needed.
type compiled struct {
	once    sync.Once
	done    chan struct{} // closed when rule and refused are set
	rule    *rule
	refused *Refusal
}

// err returns what is wrong with the schema, after done is closed.
func (c *compiled) err() error {
	if c.refused != nil {
		return c.refused
	}
	return nil
}

// find returns what schemas equal to source share.
func (c *Compiler) find(source *structpb.Struct) *compiled {
	s := &compiled{done: make(chan struct{})}
	if admission.TooLarge(source) {
		return s // it is refused quickly, so it is not worth a digest
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

// forget drops a schema that is no longer referenced.
func (c *Compiler) forget(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.made[key]; ok && p.Value() == nil {
		delete(c.made, key)
	}
}
