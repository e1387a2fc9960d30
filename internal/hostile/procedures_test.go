//go:build hostile

package hostile

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	_ "google.golang.org/grpc/health/grpc_health_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
)

// procedure is one procedure that the core's port serves.
type procedure struct {
	path   string
	stream connect.StreamType
	input  protoreflect.MessageDescriptor
	// safe is set if the procedure can be called with GET.
	safe bool
}

// packages are the packages whose services the port serves. Reflection lists
// only the public ones.
var packages = []protoreflect.FullName{"ruedo.v1", "ruedo.runner.v1", "grpc.health.v1", "grpc.reflection.v1", "grpc.reflection.v1alpha"}

// procedures walks every service of the port: those that reflection lists and
// those in the generated code.
func (c *cluster) procedures(ctx context.Context) ([]procedure, error) {
	names := make(map[protoreflect.FullName]bool)
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if slices.Contains(packages, f.Package()) {
				names[f.Services().Get(i).FullName()] = true
			}
		}
		return true
	})
	h := newPeer(c.url, true)
	defer h.close()
	stream := grpcreflect.NewClient(h.http, c.url, connect.WithGRPC()).
		NewStream(ctx, grpcreflect.WithRequestHeaders(bearing(c.observer)))
	defer func() { _, _ = stream.Close() }()
	listed, err := stream.ListServices()
	if err != nil {
		return nil, fmt.Errorf("reflection: %w", err)
	}
	if len(listed) == 0 {
		return nil, fmt.Errorf("reflection names no service")
	}
	for _, name := range listed {
		names[name] = true
	}
	var list []procedure
	for name := range names {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return nil, fmt.Errorf("reflection names %s, which these tests do not know: %w", name, err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			list = append(list, newProcedure(name, methods.Get(i)))
		}
	}
	slices.SortFunc(list, func(a, b procedure) int { return cmp.Compare(a.path, b.path) })
	return list, nil
}

func newProcedure(service protoreflect.FullName, m protoreflect.MethodDescriptor) procedure {
	p := procedure{path: fmt.Sprintf("/%s/%s", service, m.Name()), input: m.Input()}
	if m.IsStreamingClient() {
		p.stream |= connect.StreamTypeClient
	}
	if m.IsStreamingServer() {
		p.stream |= connect.StreamTypeServer
	}
	if o, ok := m.Options().(*descriptorpb.MethodOptions); ok {
		p.safe = o.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	}
	return p
}

// mustProcedures is procedures for a row.
func (b *bout) mustProcedures() []procedure {
	list, err := b.procedures(b.ctx)
	if err != nil {
		b.Errorf("the procedures cannot be listed: %v", err)
	}
	return list
}

// speech is how a client talks to a procedure.
type speech struct {
	protocol string // connect, grpc or grpc-web
	codec    string // proto or json
	packed   bool   // messages are declared as gzip; the caller compresses them
}

func (s speech) String() string {
	text := s.protocol + "+" + s.codec
	if s.packed {
		text += "+gzip"
	}
	return text
}

// speeches returns all protocols with all codecs.
func speeches(packed bool) []speech {
	var list []speech
	for _, p := range []string{"connect", "grpc", "grpc-web"} {
		for _, c := range []string{"proto", "json"} {
			list = append(list, speech{p, c, packed})
		}
	}
	return list
}

func (s speech) options() []connect.ClientOption {
	list := []connect.ClientOption{connect.WithCodec(rawCodec{s.codec}), connect.WithReadMaxBytes(64 << 20)}
	switch s.protocol {
	case "grpc":
		list = append(list, connect.WithGRPC())
	case "grpc-web":
		list = append(list, connect.WithGRPCWeb())
	}
	if s.packed {
		list = append(list, connect.WithAcceptCompression("gzip", newUnpacker, newPassThrough), connect.WithSendCompression("gzip"))
	}
	return list
}

// rawMessage holds the bytes of a message, valid or not.
type rawMessage struct{ b []byte }

// rawCodec sends and receives raw messages. The protocols' own messages, which
// are protobuf, pass through it, too.
type rawCodec struct{ name string }

func (c rawCodec) Name() string { return c.name }

func (c rawCodec) Marshal(m any) ([]byte, error) {
	switch m := m.(type) {
	case *rawMessage:
		return slices.Clone(m.b), nil // connect retains what it is given
	case proto.Message:
		return proto.Marshal(m)
	}
	return nil, fmt.Errorf("cannot marshal %T", m)
}

func (c rawCodec) Unmarshal(b []byte, m any) error {
	switch m := m.(type) {
	case *rawMessage:
		m.b = slices.Clone(b)
		return nil
	case proto.Message:
		return proto.Unmarshal(b, m)
	}
	return fmt.Errorf("cannot unmarshal %T", m)
}
