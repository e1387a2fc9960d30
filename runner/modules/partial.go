package modules

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/backoff"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	unfinished = ".part-"
	// maxPartials is how many modules of which a part has arrived are kept.
	maxPartials = 4
	// partialAge is how long they are kept.
	partialAge = 24 * time.Hour
	// chunkedTime bounds one fetch in chunks, with all its attempts. The slowest
	// link that a core accepts carries 64 MiB in 70 minutes.
	chunkedTime = 2 * time.Hour
	// stallTime is how long nothing can arrive before an attempt is given up.
	stallTime = 30 * time.Second
	// maxFutile is how many attempts in a row can bring nothing.
	maxFutile = 4
	// header precedes each chunk in a file: its length.
	header = 4
)

// errUnusable means that the file of a partial module cannot be used.
var errUnusable = errors.New("the file cannot be used")

// partial is what has arrived of a module, in a file: chunks as the core sent
// them, each after its length. A chunk is verified as soon as it is complete, and
// the module when all are. The file survives this process.
type partial struct {
	c      *Cache
	path   string
	file   *os.File
	begin  int64  // of the current chunk in the file
	index  uint32 // of the current chunk
	size   uint32 // of it; zero if it is not known
	packed []byte // what has arrived of it
	plain  []byte // the last chunk that was inflated
	count  uint32 // chunks of the module; zero if that is not known
	moved  int64  // bytes that have arrived since the last attempt began
}

// resume opens the partial module of a digest, or begins one. It fails if another
// process has it, or the disk does not work.
func (c *Cache) resume(digest string) (*partial, error) {
	c.dropPartials(maxPartials - 1)
	path := filepath.Join(c.cfg.Dir, unfinished+digest)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	p := &partial{c: c, path: path, file: f}
	if err := p.scan(); err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// scan finds out what the file has. It drops what no core has sent.
func (p *partial) scan() error {
	b := make([]byte, 0, executor.MaxChunk)
	for {
		size, n, err := p.read(b)
		switch {
		case err != nil:
			return err
		case size == 0: // the end, or a length that cannot be
			return p.cut()
		case n < int(size):
			p.size, p.packed = size, append(p.packed[:0], b[:n]...)
			return nil
		}
		p.next(size)
	}
}

// read reads the current chunk from the file: its length, and as many of its
// bytes as there are. The length is zero at the end of the file.
func (p *partial) read(b []byte) (size uint32, n int, err error) {
	var h [header]byte
	if n, err = p.file.ReadAt(h[:], p.begin); n < header {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return 0, 0, err
	}
	if size = binary.BigEndian.Uint32(h[:]); size > executor.MaxChunk {
		return 0, 0, nil
	}
	if n, err = p.file.ReadAt(b[:size], p.begin+header); errors.Is(err, io.EOF) {
		err = nil
	}
	return size, n, err
}

// next goes on to the chunk after the current one, which has size bytes.
func (p *partial) next(size uint32) {
	p.begin += header + int64(size)
	p.index, p.size, p.packed = p.index+1, 0, p.packed[:0]
}

// cut drops the current chunk and what follows it.
func (p *partial) cut() error {
	p.size, p.packed = 0, p.packed[:0]
	return p.file.Truncate(p.begin)
}

// restart drops everything.
func (p *partial) restart() error {
	p.begin, p.index, p.count = 0, 0, 0
	return p.cut()
}

// wrong drops everything, because what has arrived cannot be used: err.
func (p *partial) wrong(err error) error {
	if rerr := p.restart(); rerr != nil {
		return errors.Join(errUnusable, rerr)
	}
	return err
}

// place returns where the core shall go on.
func (p *partial) place() *runnerv1.ModuleChunk {
	return &runnerv1.ModuleChunk{Index: p.index, Offset: uint32(len(p.packed))}
}

// add appends a piece. INTEGRITY if it does not belong there.
func (p *partial) add(at *runnerv1.ModuleChunk, data []byte) error {
	have := uint32(len(p.packed))
	switch {
	case at.Index != p.index || at.Offset != have || at.Size == 0 || at.Size > executor.MaxChunk || p.size != 0 && at.Size != p.size ||
		uint64(have)+uint64(len(data)) > uint64(at.Size) || at.Count <= at.Index || p.count != 0 && at.Count != p.count:
		return p.wrong(fault.New(fault.Integrity, "the core sent bytes %d to %d of chunk %d of %d, which has %d bytes; expected were those from byte %d of chunk %d on",
			at.Offset, uint64(at.Offset)+uint64(len(data)), at.Index, at.Count, at.Size, have, p.index))
	case p.begin > p.c.cfg.MaxModule+executor.MaxChunk: // no module is longer when it is compressed, by much
		return p.wrong(fault.New(fault.Integrity, "the core sent %d bytes for a module, over this runner's limit of %d", p.begin, p.c.cfg.MaxModule))
	}
	if p.size == 0 {
		if _, err := p.file.WriteAt(binary.BigEndian.AppendUint32(nil, at.Size), p.begin); err != nil {
			return errors.Join(errUnusable, err)
		}
	}
	if _, err := p.file.WriteAt(data, p.begin+header+int64(have)); err != nil {
		return errors.Join(errUnusable, err)
	}
	p.size, p.count, p.packed = at.Size, at.Count, append(p.packed, data...)
	p.moved += int64(len(data))
	if len(p.packed) < int(p.size) {
		return nil
	}
	var err error
	if p.plain, err = p.c.unpack.DecodeAll(p.packed, p.plain[:0]); err != nil {
		return p.wrong(fault.Wrap(err, fault.Integrity, "the core sent chunk %d of %d damaged", at.Index, at.Count))
	}
	p.next(p.size)
	return nil
}

// module returns the module when all chunks have arrived. INTEGRITY if it has
// another digest or size; then everything is dropped.
func (p *partial) module(digest string, size uint64) (wasm []byte, err error) {
	chunks, limit := p.index, p.c.cfg.MaxModule
	if size > 0 {
		limit = int64(size)
		wasm = make([]byte, 0, size)
	}
	p.begin, p.index = 0, 0
	b := make([]byte, 0, executor.MaxChunk)
	for p.index < chunks && int64(len(wasm)) <= limit {
		packed, n, err := p.read(b)
		if err == nil && n < int(packed) {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			p.plain, err = p.c.unpack.DecodeAll(b[:n], p.plain[:0])
		}
		if err != nil {
			return nil, p.wrong(fault.Wrap(err, fault.Integrity, "what has arrived of module %s cannot be read", digest))
		}
		wasm = append(wasm, p.plain...)
		p.next(packed)
	}
	sum := sha256.Sum256(wasm)
	switch got := hex.EncodeToString(sum[:]); {
	case size > 0 && uint64(len(wasm)) != size || int64(len(wasm)) > limit:
		err = fault.New(fault.Integrity, "the core sent %d bytes or more for module %s, which has %d", len(wasm), digest, limit)
	case got != digest:
		err = fault.New(fault.Integrity, "the core sent a module with digest %s instead of %s", got, digest)
	default:
		return wasm, nil
	}
	return nil, p.wrong(err)
}

// leave keeps the file for the next attempt, unless it is empty.
func (p *partial) leave() {
	if p.begin == 0 && len(p.packed) == 0 {
		p.remove()
		return
	}
	_ = p.file.Close()
}

func (p *partial) remove() {
	p.c.discard(p.path)
	_ = p.file.Close()
}

// dropPartials removes partial modules that are too old, and the oldest of those
// that are too many.
func (c *Cache) dropPartials(most int) {
	parts, err := c.list(unfinished)
	if err != nil {
		return // the caller finds out, too
	}
	slices.SortFunc(parts, func(a, b entry) int { return b.used.Compare(a.used) })
	for i, e := range parts {
		if i >= most || time.Since(e.used) > partialAge {
			c.discard(e.path)
		}
	}
}

// fetchChunked fetches a module in chunks. It continues where an attempt broke
// off, also one of a process before this. ok is false if no file can be used for
// that, or the core has no chunks.
func (c *Cache) fetchChunked(ctx context.Context, digest string, size uint64, src executor.Chunked) (wasm []byte, ok bool, err error) {
	p, err := c.resume(digest)
	if err != nil {
		c.log.Debug("a module is fetched without a file for its parts", "digest", digest, "error", err)
		return nil, false, nil
	}
	wasm, err = c.attempts(ctx, p, digest, size, src)
	switch {
	case errors.Is(err, errUnusable), errors.Is(err, fault.Unimplemented):
		p.remove()
		return nil, false, nil
	case err != nil:
		p.leave()
		return nil, true, err
	}
	p.remove()
	return wasm, true, nil
}

// attempts fetches what is missing until the module is complete, an error is
// final, or attempts bring nothing.
func (c *Cache) attempts(ctx context.Context, p *partial, digest string, size uint64, src executor.Chunked) ([]byte, error) {
	retry := backoff.Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second}
	resumed, verify := p.index > 0 || len(p.packed) > 0, false
	for futile := 0; ; {
		p.moved = 0
		err := c.attempt(ctx, p, verify, src)
		if err == nil {
			var wasm []byte
			if wasm, err = p.module(digest, size); err == nil {
				return wasm, nil
			}
		}
		switch {
		case errors.Is(err, fault.Integrity) && (resumed || !verify):
			// The parts may be of another time, or the core's bytes damaged: from
			// the beginning, and the core looks first.
			resumed, verify = false, true
			continue
		case ctx.Err() != nil || !passing(err):
			return nil, err
		case p.moved > 0:
			futile = 0
			retry.Reset()
		default:
			if futile++; futile >= maxFutile {
				return nil, err
			}
		}
		if retry.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// attempt makes one request. It ends when nothing arrives for stallTime.
func (c *Cache) attempt(ctx context.Context, p *partial, verify bool, src executor.Chunked) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(stallTime, cancel)
	defer stall.Stop()
	return src.Pieces(ctx, p.place(), verify, func(at *runnerv1.ModuleChunk, data []byte) error {
		stall.Stop()
		defer stall.Reset(stallTime)
		if err := p.add(at, data); err != nil {
			return err
		}
		return c.throttle.wait(ctx, len(data))
	})
}

// passing reports whether another attempt can succeed after an error.
func passing(err error) bool {
	if errors.Is(err, errUnusable) {
		return false
	}
	switch fault.ReasonOf(err) {
	case fault.ModuleNotFound, fault.Integrity, fault.RequestInvalid, fault.ClusterMismatch, fault.Unimplemented:
		return false
	}
	return true
}
