// Command orders confirms orders: it adds up what the lines cost and says when
// the goods leave.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Order is what a customer sends.
type Order struct {
	ID string `json:"id" validate:"required,max=20"`
	// When the customer ordered.
	Placed   time.Time `json:"placed"`
	Priority Priority  `json:"priority,omitempty"`
	Customer Customer  `json:"customer"`
	Lines    []Line    `json:"lines" validate:"min=1,max=100"`
	Note     *string   `json:"note,omitempty" validate:"max=200"`
}

// Priority says how soon an order leaves. Default: standard.
type Priority string

// The priorities.
const (
	Standard Priority = "standard"
	Express  Priority = "express"
)

// Customer is who pays, and where the goods go.
type Customer struct {
	Name    string  `json:"name" validate:"required"`
	Email   string  `json:"email,omitempty" validate:"omitempty,email"`
	Address Address `json:"address"`
}

// Address is where the goods go.
type Address struct {
	Street string `json:"street"`
	City   string `json:"city"`
	// An ISO 3166 code.
	Country Country `json:"country" validate:"len=2,alpha"`
}

// Country is an ISO 3166 code.
type Country string

// Line is one article of an order.
type Line struct {
	SKU      string `json:"sku" validate:"required"`
	Quantity int    `json:"quantity" validate:"min=1"`
	// The price of one piece.
	Cents int64 `json:"cents" validate:"min=0"`
	// In percent.
	Discount *int `json:"discount,omitempty" validate:"min=0,max=100"`
}

// Confirmation is the answer.
type Confirmation struct {
	ID     string         `json:"id"`
	Status Status         `json:"status"`
	Lines  []Confirmed    `json:"lines"`
	Cents  Amounts        `json:"cents"`
	ShipBy time.Time      `json:"ship_by"`
	Pieces map[string]int `json:"pieces"`
	Note   *string        `json:"note,omitempty"`
}

// Status is what becomes of an order.
type Status string

// The statuses.
const (
	Accepted Status = "accepted"
	Review   Status = "review"
)

// Confirmed is a line with its price.
type Confirmed struct {
	SKU   string `json:"sku"`
	Cents int64  `json:"cents"`
}

// Amounts are in cents.
type Amounts struct {
	Goods    int64 `json:"goods"`
	Shipping int64 `json:"shipping"`
	Total    int64 `json:"total"`
}

// shipping is the price of a parcel, by country.
var shipping = map[Country]int64{"AT": 990, "DE": 490, "ES": 1290}

// reviewed is the amount from which a person looks at an order.
const reviewed = 1_000_00

func init() { sdk.Handle(confirm) }

func confirm(ctx context.Context, in Order) (Confirmation, error) {
	parcel, ok := shipping[in.Customer.Address.Country]
	if !ok {
		return Confirmation{}, sdk.Errorf(sdk.FailedPrecondition, "we do not ship to %s", in.Customer.Address.Country)
	}
	out := Confirmation{ID: in.ID, Status: Accepted, ShipBy: leaves(in.Placed, in.Priority), Pieces: map[string]int{}, Note: in.Note}
	for i, l := range in.Lines {
		if _, twice := out.Pieces[l.SKU]; twice {
			return Confirmation{}, sdk.Errorf(sdk.InvalidArgument, "lines[%d]: %s is there twice: add up its quantity", i, l.SKU)
		}
		cents := l.Cents * int64(l.Quantity)
		if l.Discount != nil {
			cents -= cents * int64(*l.Discount) / 100
		}
		out.Pieces[l.SKU] = l.Quantity
		out.Lines = append(out.Lines, Confirmed{l.SKU, cents})
		out.Cents.Goods += cents
	}
	out.Cents.Shipping = parcel
	if in.Priority == Express {
		out.Cents.Shipping *= 2
	}
	out.Cents.Total = out.Cents.Goods + out.Cents.Shipping
	if out.Cents.Total >= reviewed {
		out.Status = Review
		slog.WarnContext(ctx, "needs a look", "order", in.ID, "total", fmt.Sprintf("%.2f", float64(out.Cents.Total)/100))
	}
	slog.InfoContext(ctx, "confirmed", "order", in.ID, "lines", len(in.Lines))
	return out, nil
}

// leaves returns when an order leaves: in four hours, or two days later at six.
// Nothing leaves on Sundays.
func leaves(placed time.Time, p Priority) time.Time {
	if p == Express {
		return placed.Add(4 * time.Hour)
	}
	day := placed.AddDate(0, 0, 2)
	if day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, 1)
	}
	return time.Date(day.Year(), day.Month(), day.Day(), 18, 0, 0, 0, placed.Location())
}

func main() { sdk.Main() }
