package sdk_test

import (
	"context"
	"fmt"

	"github.com/ruedo-dev/ruedo/sdk"
)

type Order struct {
	Item string `json:"item"`
}

type Receipt struct {
	Text string `json:"text"`
}

func init() { sdk.Handle(take) }

func take(ctx context.Context, in Order) (Receipt, error) {
	if in.Item == "" {
		return Receipt{}, sdk.Errorf(sdk.InvalidArgument, "item is empty: name what you order")
	}
	return Receipt{Text: "one " + in.Item}, nil
}

// A whole service, except its main, which is { sdk.Main() }; and how a test
// calls it.
func Example() {
	ctx := context.Background()

	out, err := sdk.Call(ctx, []byte(`{"item": "tea"}`))
	fmt.Println(string(out), err)

	_, err = sdk.Call(ctx, []byte(`{}`))
	fmt.Println(err)

	_, err = sdk.Call(ctx, []byte(`{"item": 7}`))
	fmt.Println(err)

	// Output:
	// {"text":"one tea"} <nil>
	// invalid_argument: item is empty: name what you order
	// invalid_argument: the input has the wrong type: field "item" must be a string, not number (at byte 10)
}
