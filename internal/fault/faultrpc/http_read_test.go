package faultrpc_test

import (
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
)

func TestErrorsOverPlainHTTPAreReadBack(t *testing.T) {
	invalid := fault.New(fault.InputInvalid, "the input breaks its schema").WithFix("look at it").With("limit", 5)
	invalid.Fields = []fault.Field{{Path: "name", Description: "is required"}}
	waited := fault.New(fault.QueueTimeout, "it waited").WithFix("call again later")
	waited.NotStarted = true
	lost := fault.New(fault.RunnerLost, "lost").With(fault.MetaStarted, "unknown")
	own := fault.New(fault.GuestError, "Ada is taken")
	own.Code = fault.CodeAlreadyExists
	for _, sent := range []*fault.Error{invalid, waited, lost, own} {
		w := httptest.NewRecorder()
		faultrpc.WriteJSON(w, faultrpc.HTTPStatus(sent), sent)
		got, ok := faultrpc.FromHTTP(w.Body.Bytes())
		if !ok {
			t.Errorf("%s is not read", w.Body)
			continue
		}
		if got.Reason != sent.Reason || got.ConnectCode() != sent.ConnectCode() || got.Message != sent.Message || got.Fix != sent.Fix ||
			got.NotStarted != sent.NotStarted || !reflect.DeepEqual(got.Fields, sent.Fields) || len(got.Meta) != len(sent.Meta) {
			t.Errorf("sent %+v\n got %+v", sent, got)
		}
	}
	for _, text := range []string{"", "{}", "<html>", `{"reason":5}`, `{"code":"unavailable"}`} {
		if e, ok := faultrpc.FromHTTP([]byte(text)); ok {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
}
