package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/publish"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// What uploads may hold in memory together: modules of full size, counted as
// bytes arrive so that slow uploads keep nobody out, and a part for each of as
// many uploads as there may be at once.
const (
	uploadRoom = 4
	maxUploads = 128
	maxData    = 1 << 20
	maxPart    = maxData + 4<<10
)

// uploadTotal is how long an upload may take: 32 MiB at 16 KiB/s.
const uploadTotal = 40 * time.Minute

// errShutdown ends a stream of a core that is going away.
var errShutdown = fault.New(fault.CoreUnreachable, "this core is shutting down").WithFix("connect again")

// breath is what an upload waits after each part: a part is some milliseconds of
// work, and whoever waits for its processor goes first.
const breath = 100 * time.Microsecond

type moduleService struct {
	Config
	slots chan struct{}
	held  atomic.Int64 // bytes of all uploads under way
	parts partCodec
}

func newModuleService(cfg Config) *moduleService {
	return &moduleService{Config: cfg, slots: make(chan struct{}, maxUploads)}
}

func (s *moduleService) StatModule(ctx context.Context, req *ruedov1.StatModuleRequest) (*ruedov1.StatModuleResponse, error) {
	m, err := s.Store.StatModule(ctx, req.GetDigest())
	if err != nil {
		return nil, err
	}
	return &ruedov1.StatModuleResponse{Module: m}, nil
}

// UploadModule holds the module in memory until it is verified and admitted:
// bytes that are not what they claim to be never touch the store.
func (s *moduleService) UploadModule(ctx context.Context, stream *connect.ClientStream[ruedov1.UploadModuleRequest]) (*ruedov1.UploadModuleResponse, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return nil, fault.New(fault.UploadBusy, "%d uploads are under way on this core, which is the limit", maxUploads).WithFix("try again in a moment")
	}
	var u upload
	defer s.forget(&u)
	if err := s.receive(stream, &u); err != nil {
		return nil, err
	}
	m, err := publish.Admit(u.digest, u.arrival)
	if err != nil {
		return nil, err
	}
	if err := s.Store.PutModule(ctx, m, u.space); err != nil {
		return nil, err
	}
	return &ruedov1.UploadModuleResponse{Module: m}, nil
}

// upload is a module on its way in. Its bytes lie outside of the heap: they go
// back to the system at once when it ends, and the garbage collector has nothing
// to do with them.
type upload struct {
	digest  string
	space   []byte // as much as was announced
	got     int    // bytes of it that came
	arrival *wasmbin.Arrival
}

// receive takes an upload off its stream and verifies it.
func (s *moduleService) receive(stream *connect.ClientStream[ruedov1.UploadModuleRequest], u *upload) error {
	if !stream.Receive() {
		return s.incomplete(stream.Err(), 0, 0)
	}
	head := stream.Msg().GetHead()
	if head == nil {
		return fault.New(fault.RequestInvalid, "an upload begins with its head: digest and size")
	}
	size := head.GetSizeBytes()
	if size > uint64(s.MaxModule) {
		return s.tooLarge("the module has " + limits.FormatSize(size))
	}
	var err error
	if u.space, err = reserve(int(size)); err != nil {
		return fault.Wrap(err, fault.UploadBusy, "this core has no memory left for an upload of %s", limits.FormatSize(size)).WithFix("try again in a moment")
	}
	u.arrival = publish.Expect(u.space, s.MaxModule)
	sum := sha256.New()
	for stream.Receive() {
		part := stream.Msg().GetData()
		n := len(part)
		if n > len(u.space)-u.got {
			return fault.New(fault.RequestInvalid, "the upload brings more than the %d bytes that it announced", size)
		}
		if most := uploadRoom * s.MaxModule; s.held.Add(int64(n)) > most {
			s.held.Add(-int64(n))
			return fault.New(fault.UploadBusy, "the uploads under way on this core hold %s, which is the limit", limits.FormatSize(uint64(most))).
				WithFix("try again in a moment")
		}
		u.got += copy(u.space[u.got:], part)
		sum.Write(part)
		s.parts.done(part)
		u.arrival.Got(u.got)
		time.Sleep(breath)
	}
	if err := stream.Err(); err != nil || u.got < len(u.space) {
		return s.incomplete(err, uint64(u.got), size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != head.GetDigest() {
		return fault.New(fault.DigestMismatch, "the bytes have digest %s, not %s as announced", got, head.GetDigest()).
			WithFix("upload it again; if it happens again, the file changes while it is read")
	}
	u.digest = head.GetDigest()
	return nil
}

// forget gives back what an upload held. Nobody may use its bytes any more.
func (s *moduleService) forget(u *upload) {
	s.held.Add(-int64(u.got))
	if u.arrival != nil {
		u.arrival.Close() // it reads the space
	}
	giveBack(u.space)
	*u = upload{}
}

func (s *moduleService) tooLarge(what string) error {
	return fault.New(fault.UploadTooLarge, "%s, over the limit of %s", what, limits.FormatSize(uint64(s.MaxModule))).
		WithFix(`build it smaller, for example with -ldflags="-s -w"`)
}

// incomplete says why an upload ended before its time.
func (s *moduleService) incomplete(err error, got, want uint64) error {
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		switch ce.Code() {
		case connect.CodeInvalidArgument:
			return err // a message that breaks its rules
		case connect.CodeUnimplemented:
			return fault.Wrap(err, fault.Unimplemented, "%s", ce.Message()) // an encoding that is not spoken
		case connect.CodeResourceExhausted:
			return fault.Wrap(err, fault.UploadTooLarge, "a part of the upload is too large: %s", ce.Message()).
				WithFix("send parts of at most 1 MiB, and a module of at most %s", limits.FormatSize(uint64(s.MaxModule)))
		case connect.CodeDeadlineExceeded:
			return fault.Wrap(err, fault.Deadline, "the upload is too slow: %d of %d bytes came; nothing was stored", got, want).
				WithFix("upload it again over a faster connection")
		}
	}
	return fault.Wrap(err, fault.UploadIncomplete, "the upload broke off after %d of %d bytes; nothing was stored", got, want).
		WithFix("upload it again")
}

var _ ruedov1connect.ModuleServiceHandler = (*moduleService)(nil)
