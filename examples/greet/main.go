// Command greet is the smallest service with a type: JSON in, JSON out.
package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Request is the input. decorators.yaml says which values are allowed; the
// handler gets only input that matches it.
type Request struct {
	Name     string `json:"name"`
	Age      *int   `json:"age"`      // absent is not zero
	Language string `json:"language"` // en, es, de or fr; empty means en
}

// Response is the output.
type Response struct {
	Greeting string `json:"greeting"`
}

func init() { sdk.Handle(greet) }

func greet(ctx context.Context, in Request) (Response, error) {
	name := strings.TrimSpace(in.Name)
	if name == "" {
		// The schema accepts blanks.
		return Response{}, sdk.Errorf(sdk.InvalidArgument, "name is blank: enter a name to greet")
	}
	var hello, age string
	switch in.Language {
	case "", "en":
		hello, age = "Hello, %s!", " %d is a fine age."
	case "es":
		hello, age = "¡Hola, %s!", " %d es una buena edad."
	case "de":
		hello, age = "Hallo, %s!", " %d ist ein gutes Alter."
	case "fr":
		hello, age = "Bonjour, %s !", " %d ans, un bel âge."
	default:
		return Response{}, sdk.Errorf(sdk.InvalidArgument, "unknown language %q: use en, es, de or fr", in.Language)
	}
	res := Response{Greeting: fmt.Sprintf(hello, name)}
	if in.Age != nil {
		res.Greeting += fmt.Sprintf(age, *in.Age)
	}
	return res, nil
}

func main() { sdk.Main() }
