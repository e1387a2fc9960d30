package protocol

import (
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestTheHighestNumberThatBothSpeak(t *testing.T) {
	for _, test := range []struct {
		core, runner Range
		want         uint32
		says         []string // if there is none
	}{
		{Range{1, 2}, Range{2, 2}, 2, nil},
		{Range{1, 3}, Range{2, 2}, 2, nil},
		{Range{1, 2}, Range{2, 3}, 2, nil},
		{Range{1, 4}, Range{2, 3}, 3, nil},
		{Range{2, 2}, Range{1, 9}, 2, nil},
		{Range{3, 4}, Range{1, 2}, 0, []string{"speaks lane protocol 1 to 2, this core 3 to 4", "upgrade the runner"}},
		{Range{1, 2}, Range{3, 3}, 0, []string{"speaks lane protocol 3, this core 1 to 2", "upgrade the core"}},
	} {
		hello := &runnerv1.Hello{}
		test.runner.Hello(hello)
		number, err := test.core.Welcome(hello)
		if number != test.want || (err == nil) != (test.says == nil) {
			t.Errorf("core %s and runner %s speak %d, %v; want %d", test.core, test.runner, number, err, test.want)
		}
		if test.says != nil {
			testkit.WantReason(t, err, fault.LaneProtocol, test.says...)
			continue
		}
		got, core, err := test.runner.Welcomed(&runnerv1.Welcome{Protocol: number, MinProtocol: test.core.Min, MaxProtocol: test.core.Max})
		if got != test.want || core != test.core || err != nil {
			t.Errorf("the runner speaks %d with a core of %s, %v", got, core, err)
		}
	}
}

// Versions before ranges say one number, and expect no answer about it.
func TestVersionsThatKnowNoRanges(t *testing.T) {
	runner := &runnerv1.Hello{Protocol: 2}
	if number, err := OfCore().Welcome(runner); number != 2 || err != nil {
		t.Errorf("with an older runner: %d, %v", number, err)
	}
	hello := &runnerv1.Hello{}
	OfRunner().Hello(hello)
	if hello.Protocol != 2 { // all that they look at
		t.Errorf("an older core refuses protocol %d", hello.Protocol)
	}
	if number, core, err := OfRunner().Welcomed(&runnerv1.Welcome{}); number != 2 || core != (Range{}) || err != nil {
		t.Errorf("with an older core: %d, %s, %v", number, core, err)
	}
}

func TestNumbersThatCannotBe(t *testing.T) {
	for _, hello := range []*runnerv1.Hello{nil, {}, {Protocol: 1 << 31}, {MaxProtocol: 2, Protocol: 1 << 31}} {
		if number, err := (Range{2, 3}).Welcome(hello); err == nil {
			t.Errorf("%v: %d", hello, number)
		}
	}
	for _, welcome := range []*runnerv1.Welcome{{Protocol: 1, MinProtocol: 1, MaxProtocol: 9}, {Protocol: 4}} {
		_, _, err := (Range{2, 3}).Welcomed(welcome)
		testkit.WantReason(t, err, fault.LaneProtocol, "this runner speaks 2 to 3")
	}
}
