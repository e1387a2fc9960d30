package input

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"strconv"
)

// Bounds of a number in an input. Numbers are compared exactly, so digits and
// exponents cost work: 1e999990 has eight bytes, and a million digits.
//
// Numbers in practice are far below them. An IEEE double needs 17 digits and
// exponents from -324 to 308; written out in full without an exponent, the
// smallest one has 342 digits. A key of 2,048 bits has 617.
const (
	maxDigits   = 800
	maxExponent = 400
)

// Decimal is a number with exactly the value of its literal: digits * 10^exp,
// possibly negated. Zero has no digits. Otherwise the first and the last digit
// are not zero, so that equal numbers have equal decimals.
type Decimal struct {
	negative bool
	digits   []byte
	exp      int
}

// admitNumber returns what is wrong with the size of a number's literal, or "".
// It looks at the lengths of the parts and at short exponents, never at the
// digits.
func admitNumber(literal []byte) (description string, limit, actual int) {
	mantissa, exponent := splitNumber(literal)
	digits := len(mantissa)
	if len(mantissa) > 0 && mantissa[0] == '-' {
		digits--
	}
	if bytes.IndexByte(mantissa, '.') >= 0 {
		digits--
	}
	if digits > maxDigits {
		return fmt.Sprintf("is a number of %d digits; the limit is %d", digits, maxDigits), maxDigits, digits
	}
	if len(exponent) == 0 {
		return "", 0, 0
	}
	e, err := strconv.Atoi(string(exponent[:min(len(exponent), 12)]))
	if len(exponent) > 12 || err != nil {
		// An exponent with many leading zeros is refused like a huge one,
		// without being parsed.
		return fmt.Sprintf("is a number whose exponent has %d characters; the limit is %d", len(exponent), maxExponent), maxExponent, len(exponent)
	}
	if e > maxExponent || e < -maxExponent {
		return fmt.Sprintf("is a number with the exponent %d; the limit is %d", e, maxExponent), maxExponent, e
	}
	return "", 0, 0
}

// splitNumber returns the parts of a literal before and after its e.
func splitNumber(literal []byte) (mantissa, exponent []byte) {
	for i, c := range literal {
		if c == 'e' || c == 'E' {
			return literal[:i], literal[i+1:]
		}
	}
	return literal, nil
}

// Digits is memory for the digits of one number.
type Digits [maxDigits]byte

// ParseDecimal returns the number of a literal that [Document.Read] accepts. Its
// digits are those of the literal, or are in scratch if the literal has a point
// among them: neither may change while the number is in use.
func ParseDecimal(literal []byte, scratch *Digits) Decimal {
	var d Decimal
	mantissa, exponent := splitNumber(literal)
	if len(exponent) > 0 {
		d.exp, _ = strconv.Atoi(string(exponent)) // the parser has checked it
	}
	if mantissa[0] == '-' {
		d.negative, mantissa = true, mantissa[1:]
	}
	if point := bytes.IndexByte(mantissa, '.'); point >= 0 {
		whole, fraction := mantissa[:point], bytes.TrimRight(mantissa[point+1:], "0")
		d.exp -= len(fraction)
		switch {
		case len(fraction) == 0:
			mantissa = whole
		case len(whole) == 1 && whole[0] == '0':
			mantissa = fraction
		default:
			mantissa = append(append(scratch[:0], whole...), fraction...)
		}
	}
	for len(mantissa) > 0 && mantissa[0] == '0' {
		mantissa = mantissa[1:]
	}
	for n := len(mantissa); n > 0 && mantissa[n-1] == '0'; n-- {
		mantissa = mantissa[:n-1]
		d.exp++
	}
	if d.digits = mantissa; len(mantissa) == 0 {
		return Decimal{}
	}
	return d
}

// Clone returns the number with its own copy of the digits.
func (d Decimal) Clone() Decimal {
	d.digits = bytes.Clone(d.digits)
	return d
}

// Integer reports whether the number has no fraction.
func (d Decimal) Integer() bool { return d.exp >= 0 }

// Compare returns -1, 0 or +1 as d is less than, equal to or greater than e.
func (d Decimal) Compare(e Decimal) int {
	if s, t := d.sign(), e.sign(); s != t || s == 0 {
		return cmp.Compare(s, t)
	}
	c := d.compareSize(e)
	if d.negative {
		return -c
	}
	return c
}

func (d Decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

func (d Decimal) compareSize(e Decimal) int {
	if m, n := len(d.digits)+d.exp, len(e.digits)+e.exp; m != n {
		if m < n {
			return -1
		}
		return 1
	}
	// Both have the same number of digits before the point, so their digits compare
	// like words: the shorter one continues with zeros.
	return bytes.Compare(d.digits, e.digits)
}

// Work returns what arithmetic with the number costs.
func (d Decimal) Work() int {
	if d.exp < 0 {
		return len(d.digits) - d.exp
	}
	return len(d.digits) + d.exp
}

// smallDigits is how many digits always fit an int64.
const smallDigits = 18

// MultipleOf reports whether d is an integer times e.
func (d Decimal) MultipleOf(e Decimal) bool {
	if len(d.digits) == 0 || len(e.digits) == 0 {
		return len(d.digits) == 0
	}
	// d.digits*10^d.exp / e.digits*10^e.exp, with one of the exponents made zero.
	up, down := max(d.exp-e.exp, 0), max(e.exp-d.exp, 0)
	if len(d.digits)+up <= smallDigits && len(e.digits)+down <= smallDigits {
		return d.small(up)%e.small(down) == 0
	}
	return new(big.Int).Rem(d.big(up), e.big(down)).Sign() == 0
}

func (d Decimal) small(zeros int) int64 {
	var n int64
	for _, c := range d.digits {
		n = n*10 + int64(c-'0')
	}
	for range zeros {
		n *= 10
	}
	return n
}

func (d Decimal) big(zeros int) *big.Int {
	n, _ := new(big.Int).SetString(string(d.digits), 10)
	if zeros == 0 {
		return n
	}
	return n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(zeros)), nil))
}

// PlainInteger reports whether a literal has neither a point nor an exponent. A
// literal that has one can still be an integer: 1.0 is.
func PlainInteger(literal []byte) bool {
	for _, c := range literal {
		if c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

// floatDigits is the number of digits up to which a double always distinguishes
// literals.
const floatDigits = 15

// Float returns the double nearest to the number of a literal; ok is false unless
// the literal has few digits and no exponent. Rounding keeps the order: of two
// numbers whose doubles differ, the one with the larger double is larger.
func Float(literal []byte) (f float64, ok bool) {
	if len(literal) > floatDigits {
		return 0, false
	}
	var n int64
	scale, negative, fraction := 1.0, false, false
	for _, c := range literal {
		switch {
		case c == '-':
			negative = true
		case c == '.':
			fraction = true
		case c > '9':
			return 0, false
		default:
			n = n*10 + int64(c-'0')
			if fraction {
				scale *= 10
			}
		}
	}
	// Both are exact, so the quotient is rounded once, and correctly.
	if f = float64(n) / scale; negative {
		f = -f
	}
	return f, true
}
