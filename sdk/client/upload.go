package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// partSize is how much of a module is sent in one message: small enough for a
// progress bar to move, large enough to make framing negligible.
const partSize = 256 << 10

// Digest is the name of a module: the SHA-256 of its bytes in lower-case
// hexadecimal digits.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// Upload stores a module and returns its digest. A module that the cluster
// already has is not sent again. If progress is not nil, it is called with the
// number of bytes sent, after every part and on the calling goroutine; it is
// not called for a module that need not be sent. Nothing is visible before the
// module is complete, so an upload that was cut off can simply be repeated; a
// client of several cores does so on its own, at the next core.
func (c *Client) Upload(ctx context.Context, wasm []byte, progress func(done, total int64)) (digest string, err error) {
	digest = Digest(wasm)
	_, err = c.Modules.StatModule(ctx, &ruedov1.StatModuleRequest{Digest: digest})
	if err == nil {
		return digest, nil
	}
	if !errors.Is(err, fault.ModuleNotFound) {
		return "", err
	}
	for attempts := c.attempts(true); ; {
		err := c.upload(ctx, wasm, digest, progress)
		if err == nil || !attempts.again(ctx, err) {
			return digest, err
		}
	}
}

func (c *Client) upload(ctx context.Context, wasm []byte, digest string, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancel(ctx) // the stream ends with this function, however it returns
	defer cancel()
	stream, err := c.Modules.UploadModule(ctx)
	if err != nil {
		return err
	}
	total := int64(len(wasm))
	head := &ruedov1.UploadHead{Digest: digest, SizeBytes: uint64(total)}
	err = stream.Send(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Head{Head: head}})
	for rest := bytes.NewBuffer(wasm); err == nil && rest.Len() > 0; {
		err = stream.Send(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Data{Data: rest.Next(partSize)}})
		if err == nil && progress != nil {
			progress(total-int64(rest.Len()), total)
		}
	}
	// After io.EOF the core's reason to stop reading is in the response.
	if err != nil && !errors.Is(err, io.EOF) {
		_, _ = stream.CloseAndReceive()
		return err
	}
	_, err = stream.CloseAndReceive()
	return err
}
