package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/core/decorate"
	"github.com/ruedo-dev/ruedo/core/publish"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// maxUploads bounds how many uploads are held in memory at once.
const maxUploads = 4

// errShutdown ends a stream of a core that is going away.
var errShutdown = fault.New(fault.CoreUnreachable, "this core is shutting down").WithFix("connect again")

type moduleService struct {
	Config
	slots chan struct{}
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
	wasm, digest, err := s.receive(stream)
	if err != nil {
		return nil, err
	}
	m, err := publish.Admit(digest, wasm, s.MaxModule)
	if err != nil {
		return nil, err
	}
	if err := s.Store.PutModule(ctx, m, wasm); err != nil {
		return nil, err
	}
	return &ruedov1.UploadModuleResponse{Module: m}, nil
}

func (s *moduleService) receive(stream *connect.ClientStream[ruedov1.UploadModuleRequest]) (wasm []byte, digest string, err error) {
	if !stream.Receive() {
		return nil, "", incomplete(stream.Err(), 0, 0)
	}
	head := stream.Msg().GetHead()
	if head == nil {
		return nil, "", fault.New(fault.RequestInvalid, "an upload begins with its head: digest and size")
	}
	size := head.GetSizeBytes()
	if size > uint64(s.MaxModule) {
		return nil, "", fault.New(fault.UploadTooLarge, "the module has %s, over the limit of %s", decorate.Size(size), decorate.Size(uint64(s.MaxModule))).
			WithFix(`build it smaller, for example with -ldflags="-s -w"`)
	}
	sum := sha256.New()
	for stream.Receive() {
		part := stream.Msg().GetData()
		if uint64(len(wasm)+len(part)) > size {
			return nil, "", fault.New(fault.RequestInvalid, "the upload brings more than the %d bytes that it announced", size)
		}
		wasm = append(wasm, part...)
		sum.Write(part)
	}
	if err := stream.Err(); err != nil || uint64(len(wasm)) < size {
		return nil, "", incomplete(err, uint64(len(wasm)), size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != head.GetDigest() {
		return nil, "", fault.New(fault.DigestMismatch, "the bytes have digest %s, not %s as announced", got, head.GetDigest()).
			WithFix("upload it again; if it happens again, the file changes while it is read")
	}
	return wasm, head.GetDigest(), nil
}

func incomplete(err error, got, want uint64) error {
	if ce, ok := errors.AsType[*connect.Error](err); ok && ce.Code() == connect.CodeInvalidArgument {
		return err // a message that breaks its rules
	}
	return fault.Wrap(err, fault.UploadIncomplete, "the upload broke off after %d of %d bytes; nothing was stored", got, want).
		WithFix("upload it again")
}

var _ ruedov1connect.ModuleServiceHandler = (*moduleService)(nil)
