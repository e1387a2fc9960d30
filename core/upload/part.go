package upload

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// partCodec is the binary codec, except that the bytes of an upload's part go
// into reused buffers. Without reuse, each upload would allocate its full size,
// and ten a second would keep the garbage collector busy.
type partCodec struct {
	buffers sync.Pool // of *[]byte
}

// dataField of UploadModuleRequest.
const dataField = 2

// Name returns the name of the codec that it replaces.
func (c *partCodec) Name() string { return "proto" }

// Marshal encodes any message.
func (c *partCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", message)
	}
	return proto.Marshal(m)
}

// Unmarshal decodes any message. The bytes of a part belong to the caller until
// it passes them to done.
func (c *partCodec) Unmarshal(b []byte, message any) error {
	if r, ok := message.(*ruedov1.UploadModuleRequest); ok {
		if data, ok := onlyData(b); ok {
			r.Part = &ruedov1.UploadModuleRequest_Data{Data: append(c.buffer(), data...)}
			return nil
		}
	}
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a message", message)
	}
	return proto.Unmarshal(b, m)
}

// onlyData returns the data of a part that consists only of data.
func onlyData(b []byte) ([]byte, bool) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || number != dataField || kind != protowire.BytesType {
		return nil, false
	}
	data, m := protowire.ConsumeBytes(b[n:])
	return data, m >= 0 && n+m == len(b)
}

func (c *partCodec) buffer() []byte {
	if b, ok := c.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, maxData)
}

// done returns the bytes of a part to the pool.
func (c *partCodec) done(data []byte) {
	if cap(data) >= maxData {
		c.buffers.Put(&data)
	}
}
