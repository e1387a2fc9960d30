package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/sdk"
)

func TestGreet(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"Ada"}`:                            `{"greeting":"Hello, Ada!"}`,
		`{"name":" Ada ","age":36}`:                 `{"greeting":"Hello, Ada! 36 is a fine age."}`,
		`{"name":"Ada","age":0,"language":"es"}`:    `{"greeting":"¡Hola, Ada! 0 es una buena edad."}`,
		`{"name":"Ada","language":"fr"}`:            `{"greeting":"Bonjour, Ada !"}`,
		`{"name":"Łukasz","language":"de"}`:         `{"greeting":"Hallo, Łukasz!"}`,
		`{"name":"Ada","age":null,"language":"en"}`: `{"greeting":"Hello, Ada!"}`,
	} {
		out, err := sdk.Call(t.Context(), []byte(in))
		if err != nil || string(out) != want {
			t.Errorf("%s: got %s, %v; want %s", in, out, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"  "}`:                     "name is blank",
		`{}`:                                "name is blank",
		`{"name":"Ada","language":"tlh"}`:   `unknown language "tlh"`,
		`{"name":"Ada","age":"thirty-six"}`: `field "age" must be an integer`,
		`Ada`:                               "not valid JSON",
		``:                                  "the input is empty",
	} {
		_, err := sdk.Call(t.Context(), []byte(in))
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != sdk.InvalidArgument || !strings.Contains(e.Message, want) {
			t.Errorf("%s: got %v, want invalid_argument with %q", in, err, want)
		}
	}
}
