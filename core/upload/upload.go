// Package upload receives modules: it bounds the memory of uploads, verifies
// and admits each module, and stores it.
//
//	u := upload.New(upload.Config{Store: store, Modules: upload.Limits{}.WithDefaults()})
//	m, err := u.Receive(ctx, stream)
//
// A module stays in memory, outside the heap, until it is verified and
// admitted, so bytes that are not what they claim to be never reach the store.
// Its structure is read while it arrives. Nothing of it is executed.
//
// # Errors
//
// UPLOAD_BUSY if there is no room, UPLOAD_TOO_LARGE, UPLOAD_INCOMPLETE,
// DEADLINE, DIGEST_MISMATCH, REQUEST_INVALID; the reasons of package wasmbin
// for a module that is not admitted; the store's errors.
package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// What all uploads together can hold in memory: room bytes, but at least two
// full-size modules, counted as bytes arrive so that slow uploads do not block
// others; and one part for each upload in flight.
const (
	room       = 128 << 20
	maxUploads = 128
	maxData    = 1 << 20
	// MaxPart bounds one message of an upload, in bytes.
	MaxPart = maxData + 4<<10
)

// yieldInterval is how long an upload waits after each part. A part is a few
// milliseconds of work, and goroutines that wait for its CPU go first.
const yieldInterval = 100 * time.Microsecond

// Config says where modules go. All fields are required.
type Config struct {
	// Store keeps the modules.
	Store interface {
		PutModule(ctx context.Context, m *ruedov1.Module, data []byte) error
	}
	// Modules bounds a module. All fields are set.
	Modules Limits
}

// Limits bound a module.
type Limits = wasmbin.Limits

// Uploads receives modules. Its methods can be called from many goroutines.
type Uploads struct {
	cfg   Config
	slots chan struct{}
	held  atomic.Int64 // bytes of all uploads in flight
	parts partCodec
}

// New returns Uploads. It starts no goroutines.
func New(cfg Config) *Uploads {
	return &Uploads{cfg: cfg, slots: make(chan struct{}, maxUploads)}
}

// Codec returns a codec that decodes the parts of uploads into reused buffers.
// Handlers of streams for Receive need it.
func (u *Uploads) Codec() connect.Codec { return &u.parts }

// Stream is an upload as it arrives: a head, then parts of data. A
// connect.ClientStream is one.
type Stream interface {
	Receive() bool
	Msg() *ruedov1.UploadModuleRequest
	Err() error
}

// Receive reads a module from its stream and stores it.
func (u *Uploads) Receive(ctx context.Context, stream Stream) (*ruedov1.Module, error) {
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	default:
		return nil, fault.New(fault.UploadBusy, "%d uploads are in progress on this core, which is the limit", maxUploads).WithFix("try again in a moment")
	}
	var t transfer
	defer u.release(&t)
	if err := u.receive(stream, &t); err != nil {
		return nil, err
	}
	m, err := Admit(t.digest, t.admission)
	if err != nil {
		return nil, err
	}
	if err := u.cfg.Store.PutModule(ctx, m, t.space); err != nil {
		return nil, err
	}
	return m, nil
}

// transfer is a module that is being received. Its bytes are outside the heap:
// they return to the system as soon as it ends, and cost the garbage collector
// nothing.
type transfer struct {
	digest    string
	space     []byte // of the announced size
	got       int    // bytes received so far
	admission *wasmbin.Admission
}

// receive reads an upload from its stream and verifies it.
func (u *Uploads) receive(stream Stream, t *transfer) error {
	if !stream.Receive() {
		return u.incomplete(stream.Err(), 0, 0)
	}
	head := stream.Msg().GetHead()
	if head == nil {
		return fault.New(fault.RequestInvalid, "an upload must begin with its head: digest and size")
	}
	size := head.GetSizeBytes()
	if size > uint64(u.cfg.Modules.Size) {
		return u.tooLarge("the module has " + limits.FormatSize(size))
	}
	var err error
	if t.space, err = mmapAlloc(int(size)); err != nil {
		return fault.Wrap(err, fault.UploadBusy, "this core has no memory left for an upload of %s", limits.FormatSize(size)).WithFix("try again in a moment")
	}
	t.admission = wasmbin.NewAdmission(t.space, u.cfg.Modules)
	sum := sha256.New()
	for stream.Receive() {
		part := stream.Msg().GetData()
		n := len(part)
		if n > len(t.space)-t.got {
			return fault.New(fault.RequestInvalid, "the upload has more than the %d bytes that it announced", size)
		}
		if limit := max(room, 2*u.cfg.Modules.Size); u.held.Add(int64(n)) > limit {
			u.held.Add(-int64(n))
			return fault.New(fault.UploadBusy, "the uploads in progress on this core hold %s, which is the limit", limits.FormatSize(uint64(limit))).
				WithFix("try again in a moment")
		}
		t.got += copy(t.space[t.got:], part)
		sum.Write(part)
		u.parts.done(part)
		t.admission.Advance(t.got)
		// See "Why is an uploaded module kept outside of the heap?" in
		// docs/RATIONALE.md.
		time.Sleep(yieldInterval)
	}
	if err := stream.Err(); err != nil || t.got < len(t.space) {
		return u.incomplete(err, uint64(t.got), size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != head.GetDigest() {
		return fault.New(fault.DigestMismatch, "the bytes have digest %s, not %s as announced", got, head.GetDigest()).
			WithFix("upload it again; if it happens again, the file changes while it is read")
	}
	t.digest = head.GetDigest()
	return nil
}

// release frees what an upload held. Its bytes must not be used any more.
func (u *Uploads) release(t *transfer) {
	u.held.Add(-int64(t.got))
	if t.admission != nil {
		t.admission.Close() // it reads the space
	}
	mmapFree(t.space)
	*t = transfer{}
}

func (u *Uploads) tooLarge(what string) error {
	return fault.New(fault.UploadTooLarge, "%s, over the limit of %s", what, limits.FormatSize(uint64(u.cfg.Modules.Size))).
		WithFix(`build it smaller, for example with -ldflags="-s -w"; or raise module.size of cores and runners`)
}

// incomplete returns why an upload ended early.
func (u *Uploads) incomplete(err error, got, want uint64) error {
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		switch ce.Code() {
		case connect.CodeInvalidArgument:
			return err // a message that violates its rules
		case connect.CodeUnimplemented:
			return fault.Wrap(err, fault.Unimplemented, "%s", ce.Message()) // an unsupported encoding
		case connect.CodeResourceExhausted:
			return fault.Wrap(err, fault.UploadTooLarge, "a part of the upload is too large: %s", ce.Message()).
				WithFix("send parts of at most 1 MiB, and a module of at most %s", limits.FormatSize(uint64(u.cfg.Modules.Size)))
		case connect.CodeDeadlineExceeded:
			return fault.Wrap(err, fault.Deadline, "the upload is too slow: %d of %d bytes arrived; nothing was stored", got, want).
				WithFix("upload it again over a faster connection")
		}
	}
	return fault.Wrap(err, fault.UploadIncomplete, "the upload was cut off after %d of %d bytes; nothing was stored", got, want).
		WithFix("upload it again")
}
