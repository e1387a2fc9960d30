package backup

import (
	"bytes"
	"context"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// part is how much of a backup is sent in one message.
const part = 256 << 10

// Send sends a backup in messages. SERVER_BUSY; see [Backups.Write]. Errors of
// send are returned as they are.
func (b *Backups) Send(ctx context.Context, req *ruedov1.ReadBackupRequest, send func(*ruedov1.ReadBackupResponse) error) error {
	leave, err := b.enter()
	if err != nil {
		return err
	}
	defer leave()
	out := &parts{send: send}
	if _, err := b.Write(ctx, out, req.GetLiveOnly()); err != nil {
		return err
	}
	return out.flush()
}

// parts sends what is written to it in messages of the same size.
type parts struct {
	send func(*ruedov1.ReadBackupResponse) error
	held []byte
}

func (p *parts) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), part-len(p.held))
		p.held, rest = append(p.held, rest[:n]...), rest[n:]
		if len(p.held) < part {
			break
		}
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (p *parts) flush() error {
	if len(p.held) == 0 {
		return nil
	}
	err := p.send(&ruedov1.ReadBackupResponse{Data: p.held})
	p.held = p.held[:0]
	return err
}

// Stream is a restore as it arrives: a head, then parts of data. A
// connect.ClientStream is one.
type Stream interface {
	Receive() bool
	Msg() *ruedov1.RestoreCatalogRequest
	Err() error
}

// Receive reads a catalog from its stream and restores it. SERVER_BUSY,
// REQUEST_INVALID, UPLOAD_TOO_LARGE, UPLOAD_INCOMPLETE; see [Backups.Restore].
func (b *Backups) Receive(ctx context.Context, stream Stream) (*ruedov1.RestoreCatalogResponse, error) {
	leave, err := b.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if !stream.Receive() || stream.Msg().GetHead() == nil {
		if err := stream.Err(); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.RequestInvalid, "a restore must begin with its head")
	}
	head := stream.Msg().GetHead()
	size := head.GetSizeBytes()
	if size > MaxCatalog {
		return nil, fault.New(fault.UploadTooLarge, "the catalog has %s, over the limit of %s", limits.FormatSize(size), limits.FormatSize(MaxCatalog)).
			WithFix("restore a backup with fewer revisions")
	}
	var archived bytes.Buffer
	for stream.Receive() {
		data := stream.Msg().GetData()
		if uint64(archived.Len()+len(data)) > size {
			return nil, fault.New(fault.RequestInvalid, "the catalog has more than the %d bytes that were announced", size)
		}
		archived.Write(data)
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if uint64(archived.Len()) < size {
		return nil, fault.New(fault.UploadIncomplete, "the catalog was cut off after %d of %d bytes; nothing was replaced", archived.Len(), size).WithFix("restore it again")
	}
	return b.Restore(ctx, Request{Archive: archived.Bytes(), Force: head.GetForce()})
}

// enter takes one of the slots.
func (b *Backups) enter() (leave func(), err error) {
	select {
	case b.slots <- struct{}{}:
		return func() { <-b.slots }, nil
	default:
		return nil, fault.New(fault.ServerBusy, "this core makes %d backups or restores, the limit", MaxParallel).WithFix("try again later")
	}
}
