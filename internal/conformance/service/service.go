package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/conformance/internal"
	v1 "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
	"connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1/conformancev1connect"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// service answers as service.proto of the suite says. Its procedure Unimplemented
// stays unimplemented.
type service struct {
	conformancev1connect.UnimplementedConformanceServiceHandler
}

func (service) Unary(ctx context.Context, req *connect.Request[v1.UnaryRequest]) (*connect.Response[v1.UnaryResponse], error) {
	def := req.Msg.GetResponseDefinition()
	payload, err := single(ctx, def, req.Header(), req.Peer(), req.Msg)
	if err != nil {
		return nil, err
	}
	res := connect.NewResponse(&v1.UnaryResponse{Payload: payload})
	describe(def, res.Header(), res.Trailer())
	return res, nil
}

func (service) IdempotentUnary(ctx context.Context, req *connect.Request[v1.IdempotentUnaryRequest]) (*connect.Response[v1.IdempotentUnaryResponse], error) {
	def := req.Msg.GetResponseDefinition()
	payload, err := single(ctx, def, req.Header(), req.Peer(), req.Msg)
	if err != nil {
		return nil, err
	}
	res := connect.NewResponse(&v1.IdempotentUnaryResponse{Payload: payload})
	describe(def, res.Header(), res.Trailer())
	return res, nil
}

func (service) ClientStream(ctx context.Context, stream *connect.ClientStream[v1.ClientStreamRequest]) (*connect.Response[v1.ClientStreamResponse], error) {
	var def *v1.UnaryResponseDefinition
	var heard []proto.Message
	for stream.Receive() {
		if heard == nil {
			def = stream.Msg().GetResponseDefinition()
		}
		heard = append(heard, stream.Msg())
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	payload, err := single(ctx, def, stream.RequestHeader(), stream.Peer(), heard...)
	if err != nil {
		return nil, err
	}
	res := connect.NewResponse(&v1.ClientStreamResponse{Payload: payload})
	describe(def, res.Header(), res.Trailer())
	return res, nil
}

func (service) ServerStream(ctx context.Context, req *connect.Request[v1.ServerStreamRequest], stream *connect.ServerStream[v1.ServerStreamResponse]) error {
	def := req.Msg.GetResponseDefinition()
	info, err := observe(ctx, req.Header(), req.Peer(), req.Msg)
	if err != nil {
		return err
	}
	describe(def, stream.ResponseHeader(), stream.ResponseTrailer())
	if len(def.GetResponseData()) > 0 {
		if err := stream.Send(nil); err != nil { // only the header fields
			return err
		}
	}
	for i, data := range def.GetResponseData() {
		payload := &v1.ConformancePayload{Data: data}
		if i == 0 {
			payload.RequestInfo = info
		}
		if err := pause(ctx, def.GetResponseDelayMs()); err != nil {
			return err
		}
		if err := stream.Send(&v1.ServerStreamResponse{Payload: payload}); err != nil {
			return err
		}
	}
	return end(def, info)
}

func (service) BidiStream(ctx context.Context, stream *connect.BidiStream[v1.BidiStreamRequest, v1.BidiStreamResponse]) error {
	var def *v1.StreamResponseDefinition
	var full bool             // each message is answered before the next one is read
	var heard []proto.Message // since the last answer
	var sent int
	// send sends the next answer, and says in the first one all about the request.
	send := func() error {
		payload := &v1.ConformancePayload{Data: def.GetResponseData()[sent]}
		if sent == 0 || full && heard != nil {
			info, err := observe(ctx, stream.RequestHeader(), stream.Peer(), heard...)
			if err != nil {
				return err
			}
			if sent > 0 {
				info = &v1.ConformancePayload_RequestInfo{Requests: info.GetRequests()}
			}
			payload.RequestInfo = info
		}
		if err := pause(ctx, def.GetResponseDelayMs()); err != nil {
			return err
		}
		sent++
		heard = nil
		return stream.Send(&v1.BidiStreamResponse{Payload: payload})
	}
	for first := true; !full || sent < len(def.GetResponseData()) || first; first = false {
		msg, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		heard = append(heard, msg)
		if first {
			def, full = msg.GetResponseDefinition(), msg.GetFullDuplex()
			describe(def, stream.ResponseHeader(), stream.ResponseTrailer())
			if full && len(def.GetResponseData()) > 0 {
				if err := stream.Send(nil); err != nil { // only the header fields
					return err
				}
			}
		}
		if full && sent < len(def.GetResponseData()) {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if !full && len(def.GetResponseData()) > 0 {
		if err := stream.Send(nil); err != nil {
			return err
		}
	}
	for sent < len(def.GetResponseData()) {
		if err := send(); err != nil {
			return err
		}
	}
	info, err := observe(ctx, stream.RequestHeader(), stream.Peer(), heard...)
	if err != nil {
		return err
	}
	return end(def, info)
}

// single returns the payload of the only answer, or the error that is wanted
// instead of it.
func single(ctx context.Context, def *v1.UnaryResponseDefinition, header http.Header, peer connect.Peer, heard ...proto.Message) (*v1.ConformancePayload, error) {
	info, err := observe(ctx, header, peer, heard...)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, def.GetResponseDelayMs()); err != nil {
		return nil, err
	}
	if e := def.GetError(); e != nil {
		failure := fail(e, info)
		describe(def, failure.Meta(), failure.Meta())
		return nil, failure
	}
	return &v1.ConformancePayload{Data: def.GetResponseData(), RequestInfo: info}, nil
}

// observe says what came with a request, and how much of the caller's timeout is
// left. Without one, the deadline is the service's own, which is nobody's business.
func observe(ctx context.Context, header http.Header, peer connect.Peer, heard ...proto.Message) (*v1.ConformancePayload_RequestInfo, error) {
	info := &v1.ConformancePayload_RequestInfo{RequestHeaders: internal.ConvertToProtoHeader(header)}
	for _, msg := range heard {
		packed, err := anypb.New(msg)
		if err != nil {
			return nil, err
		}
		info.Requests = append(info.Requests, packed)
	}
	if deadline, ok := ctx.Deadline(); ok && (header["Connect-Timeout-Ms"] != nil || header["Grpc-Timeout"] != nil) {
		info.TimeoutMs = proto.Int64(time.Until(deadline).Milliseconds())
	}
	if len(peer.Query) > 0 {
		info.ConnectGetInfo = &v1.ConformancePayload_ConnectGetInfo{QueryParams: internal.ConvertToProtoHeader(peer.Query)}
	}
	return info, nil
}

// definition says how to answer.
type definition interface {
	GetResponseHeaders() []*v1.Header
	GetResponseTrailers() []*v1.Header
}

// describe sets the fields that a definition wants.
func describe(def definition, header, trailer http.Header) {
	internal.AddHeaders(def.GetResponseHeaders(), header)
	internal.AddHeaders(def.GetResponseTrailers(), trailer)
}

// end returns the error that a stream ends with. It says what came with the request
// if no answer did.
func end(def *v1.StreamResponseDefinition, info *v1.ConformancePayload_RequestInfo) error {
	switch e := def.GetError(); {
	case e == nil:
		return nil
	case len(def.GetResponseData()) > 0:
		return internal.ConvertProtoToConnectError(e)
	default:
		return fail(e, info)
	}
}

// fail makes an error that says what came with the request.
func fail(e *v1.Error, info *v1.ConformancePayload_RequestInfo) *connect.Error {
	err := internal.ConvertProtoToConnectError(e)
	detail, packing := connect.NewErrorDetail(info)
	if packing != nil {
		return connect.NewError(connect.CodeInternal, packing)
	}
	err.AddDetail(detail)
	return err
}

// pause waits for some milliseconds, or until the deadline.
func pause(ctx context.Context, ms uint32) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
