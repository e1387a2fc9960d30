// Command greet is the smallest service with a type: JSON in, JSON out.
package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Request is the input. Publishing makes a schema of it; the handler gets only
// input that matches.
type Request struct {
	// Whom to greet.
	Name string `json:"name" validate:"required,max=64"`
	// Age in years. Absent is not zero.
	Age *int `json:"age" validate:"omitempty,min=0,max=150"`
	// Language of the greeting. Default: en.
	Language Language `json:"language,omitempty"`
}

// Language is one that greet knows.
type Language string

const (
	English Language = "en"
	Spanish Language = "es"
	German  Language = "de"
	French  Language = "fr"
)

// Response is the output.
type Response struct {
	// The words to say.
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
	case "", English:
		hello, age = "Hello, %s!", " %d is a fine age."
	case Spanish:
		hello, age = "¡Hola, %s!", " %d es una buena edad."
	case German:
		hello, age = "Hallo, %s!", " %d ist ein gutes Alter."
	case French:
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
