package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type order struct {
	Item  string  `json:"item"`
	Count int     `json:"count"`
	Price float64 `json:"price"`
	To    struct {
		Street string   `json:"street"`
		Floor  uint8    `json:"floor"`
		Bells  []string `json:"bells"`
	} `json:"to"`
}

// typedService is a service of its own with one typed handler.
func typedService[In, Out any](handle func(context.Context, In) (Out, error)) *service {
	s := new(service)
	s.register("Handle", "here", typed(handle), fillCaches[In, Out])
	return s
}

func TestTypedHandlerGivesJSON(t *testing.T) {
	s := typedService(func(ctx context.Context, in order) (map[string]any, error) {
		return map[string]any{"got": in.Item, "id": CallID(ctx), "by": Caller(ctx), "type": ContentType(ctx)}, nil
	})
	res, err := s.do(t.Context(), Request{ID: "c-1", Caller: "user/ada", ContentType: "application/json; charset=utf-8", Input: []byte(`{"item":"tea","more":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"by":"user/ada","got":"tea","id":"c-1","type":"application/json; charset=utf-8"}`; string(res.Output) != want {
		t.Errorf("output %s, want %s", res.Output, want)
	}
	if res.ContentType != "application/json" {
		t.Errorf("content type %q", res.ContentType)
	}
}

func TestContentTypeOfTheHandlerWins(t *testing.T) {
	s := typedService(func(ctx context.Context, in order) (string, error) {
		SetContentType(ctx, "text/a")
		SetContentType(ctx, "application/problem+json")
		return "x", nil
	})
	if res, err := s.do(t.Context(), Request{Input: []byte(`{}`)}); err != nil || res.ContentType != "application/problem+json" {
		t.Errorf("got %q, %v", res.ContentType, err)
	}
}

func TestBytesPassUnchanged(t *testing.T) {
	s := new(service)
	s.register("HandleBytes", "here", func(ctx context.Context, in []byte) ([]byte, error) { return in, nil }, nil)
	for _, in := range []string{"", "\x00\xff", "{not json"} {
		res, err := s.do(t.Context(), Request{Input: []byte(in)})
		if err != nil || string(res.Output) != in || res.ContentType != "" {
			t.Errorf("%q: got %q of type %q, %v", in, res.Output, res.ContentType, err)
		}
	}
}

func TestBadInputNamesThePlace(t *testing.T) {
	s := typedService(func(context.Context, order) (string, error) {
		t.Error("the handler ran")
		return "", nil
	})
	for _, c := range []struct{ in, want string }{
		{``, `the input is empty`},
		{`{"item":"tea",}`, `at byte 15: invalid character '}'`},
		{`{"item":`, `at byte 8: unexpected end of JSON input`},
		{`{} {}`, `at byte 4: invalid character '{' after top-level value`},
		{`[1]`, `the input must be an object, not array (at byte 1)`},
		{`{"item":7}`, `field "item" must be a string, not number (at byte 9)`},
		{`{"count":1.5}`, `field "count" must be an integer of 64 bits, not number 1.5`},
		{`{"price":"1"}`, `field "price" must be a number, not string`},
		{`{"to":{"street":{}}}`, `field "to.street" must be a string, not object`},
		{`{"to":{"floor":-1}}`, `field "to.floor" must be a non-negative integer of 8 bits, not number -1`},
		{`{"to":{"bells":true}}`, `field "to.bells" must be an array, not bool`},
		{strings.Repeat("[", 20_000), `exceeded max depth`},
	} {
		_, err := s.do(t.Context(), Request{Input: []byte(c.in)})
		var e *Error
		if !errors.As(err, &e) || e.Code != InvalidArgument || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.40q: got %v, want invalid_argument with %q", c.in, err, c.want)
		}
	}
}

func TestEmptyInputForAHandlerThatTakesNone(t *testing.T) {
	s := typedService(func(context.Context, struct{}) (string, error) { return "ok", nil })
	for _, in := range []string{"", "{}"} {
		if res, err := s.do(t.Context(), Request{Input: []byte(in)}); err != nil || string(res.Output) != `"ok"` {
			t.Errorf("%q: got %s, %v", in, res.Output, err)
		}
	}
}

func TestErrorsReachTheCaller(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, c := range []struct {
		err  error
		code Code
		text string
	}{
		{Errorf(NotFound, "no %d", 7), NotFound, "no 7"},
		{fmt.Errorf("outer: %w", Errorf(Aborted, "lost")), Aborted, "lost"},
		{Errorf(Code(0), "zero"), Unknown, "zero"},
		{&Error{Code: 99, Message: "made by hand"}, Unknown, "made by hand"},
		{cause, Unknown, "disk on fire"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), DeadlineExceeded, "x: context deadline exceeded"},
		{context.Canceled, Canceled, "context canceled"},
	} {
		s := typedService(func(context.Context, order) (string, error) { return "", c.err })
		_, err := s.do(t.Context(), Request{Input: []byte(`{}`)})
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || e.Message != c.text {
			t.Errorf("%v: got %#v", c.err, err)
		}
	}
	if err := Errorf(DataLoss, "read: %w", cause); !errors.Is(err, cause) || err.Error() != "data_loss: read: disk on fire" {
		t.Errorf("got %v", err)
	}
}

func TestOutputThatIsNoJSONFails(t *testing.T) {
	s := typedService(func(context.Context, order) (any, error) { return func() {}, nil })
	_, err := s.do(t.Context(), Request{Input: []byte(`{}`)})
	var e *Error
	if !errors.As(err, &e) || e.Code != Internal || !strings.Contains(e.Message, "cannot be written as JSON") {
		t.Errorf("got %v", err)
	}
}

func TestPanicBecomesAFailedCall(t *testing.T) {
	s := typedService(func(_ context.Context, in order) (string, error) {
		return in.To.Bells[in.Count], nil
	})
	for range 2 { // and the service goes on
		_, err := s.do(t.Context(), Request{Input: []byte(`{}`)})
		var e *Error
		if !errors.As(err, &e) || e.Code != Internal || e.Message != "the service panicked: runtime error: index out of range [0] with length 0" {
			t.Errorf("got %v", err)
		}
	}
}

func TestRegisteringTwiceNamesBothPlaces(t *testing.T) {
	defer func() {
		text := fmt.Sprint(recover())
		for _, want := range []string{"a service has one handler", "HandleBytes at b.go:2", "Handle at a.go:1"} {
			if !strings.Contains(text, want) {
				t.Errorf("panic %q lacks %q", text, want)
			}
		}
	}()
	s := new(service)
	echo := func(_ context.Context, in []byte) ([]byte, error) { return in, nil }
	s.register("Handle", "a.go:1", echo, nil)
	s.register("HandleBytes", "b.go:2", echo, nil)
}

func TestNilHandlersPanic(t *testing.T) {
	for name, register := range map[string]func(){
		"Handle":      func() { Handle[int, int](nil) },
		"HandleBytes": func() { HandleBytes(nil) },
		"Warm":        func() { Warm(nil) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "sdk: "+name+": the") {
					t.Errorf("%s(nil): %s", name, text)
				}
			}()
			register()
		}()
	}
}

func TestNoHandler(t *testing.T) {
	_, err := new(service).do(t.Context(), Request{})
	var e *Error
	if !errors.As(err, &e) || e.Code != Unimplemented || !strings.Contains(e.Message, "call sdk.Handle or sdk.HandleBytes in an init function") {
		t.Errorf("got %v", err)
	}
}

func TestWarmRunsOnceBeforeTheFirstCall(t *testing.T) {
	var order []string
	s := new(service)
	s.addWarm(func() { order = append(order, "warm 1") })
	s.register("HandleBytes", "here", func(context.Context, []byte) ([]byte, error) {
		order = append(order, "call")
		return nil, nil
	}, func() { order = append(order, "caches") })
	s.addWarm(func() { order = append(order, "warm 2") })
	for range 2 {
		if _, err := s.do(t.Context(), Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(order, ","); got != "caches,warm 1,warm 2,call,call" {
		t.Errorf("order %s", got)
	}
}

type touchy struct{}

func (touchy) MarshalJSON() ([]byte, error) { panic("zero value") }

func TestFillingCachesStandsTouchyTypes(t *testing.T) {
	fillCaches[touchy, touchy]() // must not panic
	fillCaches[*order, json.Number]()
	fillCaches[any, any]()
}

func TestHelpersOutsideACall(t *testing.T) {
	ctx := t.Context()
	SetContentType(ctx, "text/plain")
	if CallID(ctx) != "" || ContentType(ctx) != "" {
		t.Error("a call where there is none")
	}
}

func TestCodesReadAndWriteThemselves(t *testing.T) {
	seen := map[string]bool{}
	for c := Canceled; c <= Unauthenticated; c++ {
		text, err := c.MarshalText()
		if err != nil || seen[string(text)] || strings.HasPrefix(string(text), "code_") {
			t.Errorf("%d: %s, %v", c, text, err)
		}
		seen[string(text)] = true
		var back Code
		if err := back.UnmarshalText(text); err != nil || back != c {
			t.Errorf("%s: read back as %d, %v", text, back, err)
		}
	}
	if err := new(Code).UnmarshalText([]byte("ok")); err == nil {
		t.Error(`"ok" is taken for an error code`)
	}
	if got := Code(99).String(); got != "code_99" {
		t.Errorf("got %s", got)
	}
}
