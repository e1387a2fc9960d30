package api

import (
	"context"
	"encoding/json"
	"mime"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/core/invoke"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

type invokeService struct {
	hall *invoke.Hall
}

func (s *invokeService) Invoke(ctx context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	call := &invoke.Call{Service: req.GetService(), ContentType: req.GetContentType(), Logs: req.GetLogs()}
	value, typed := req.GetPayload().(*ruedov1.InvokeRequest_Input)
	if typed {
		b, err := json.Marshal(value.Input.AsInterface())
		if err != nil {
			return nil, fault.Wrap(err, fault.InputInvalid, "the input holds a number that JSON cannot express")
		}
		call.Input, call.ContentType = b, invoke.JSON
	} else {
		call.Input = req.GetBytes()
	}
	res, err := s.hall.Invoke(ctx, call)
	if err != nil {
		return nil, err
	}
	out := &ruedov1.InvokeResponse{ContentType: res.ContentType, Info: res.Info}
	if v := jsonValue(res); typed && v != nil {
		out.Payload = &ruedov1.InvokeResponse_Output{Output: v}
	} else {
		out.Payload = &ruedov1.InvokeResponse_Bytes{Bytes: res.Output}
	}
	return out, nil
}

// jsonValue gives an output as a JSON value, or nil where it is none.
func jsonValue(res *invoke.Result) *structpb.Value {
	if mt, _, err := mime.ParseMediaType(res.ContentType); err != nil || mt != invoke.JSON {
		return nil
	}
	v := new(structpb.Value)
	if err := v.UnmarshalJSON(res.Output); err != nil {
		return nil
	}
	return v
}

var _ ruedov1connect.InvokeServiceHandler = (*invokeService)(nil)
