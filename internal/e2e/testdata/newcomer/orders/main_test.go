package main

import (
	"errors"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

func order() Order {
	return Order{
		ID: "A-1", Placed: time.Date(2026, 3, 6, 9, 30, 0, 0, time.UTC),
		Customer: Customer{Name: "Ada", Address: Address{Street: "Ring 1", City: "Wien", Country: "AT"}},
		Lines:    []Line{{SKU: "pen", Quantity: 3, Cents: 250}},
	}
}

func TestConfirm(t *testing.T) {
	ten := 10
	in := order()
	in.Lines = append(in.Lines, Line{SKU: "ink", Quantity: 1, Cents: 1000, Discount: &ten})
	out, err := confirm(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Amounts{Goods: 1650, Shipping: 990, Total: 2640}); out.Cents != want {
		t.Errorf("cents are %+v, want %+v", out.Cents, want)
	}
	// Two days after a Friday is a Sunday.
	if want := time.Date(2026, 3, 9, 18, 0, 0, 0, time.UTC); !out.ShipBy.Equal(want) {
		t.Errorf("leaves at %s, want %s", out.ShipBy, want)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	far, twice := order(), order()
	far.Customer.Address.Country = "KP"
	twice.Lines = append(twice.Lines, twice.Lines[0])
	for _, test := range []struct {
		in   Order
		want sdk.Code
	}{{far, sdk.FailedPrecondition}, {twice, sdk.InvalidArgument}} {
		_, err := confirm(t.Context(), test.in)
		if e, ok := errors.AsType[*sdk.Error](err); !ok || e.Code != test.want {
			t.Errorf("error is %v, want %v", err, test.want)
		}
	}
}

func TestTimesThatAreNone(t *testing.T) {
	_, err := sdk.Call(t.Context(), []byte(`{"placed":"yesterday"}`))
	if e, ok := errors.AsType[*sdk.Error](err); !ok || e.Code != sdk.InvalidArgument {
		t.Errorf("error is %v", err)
	}
}
