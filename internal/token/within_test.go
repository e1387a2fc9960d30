package token_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/token"
)

func TestWithin(t *testing.T) {
	const secret = "abcdefghijklmnopqrstuvwxyz0a1b2c3d"
	for _, text := range []string{
		"ruedo_t_7kq2m3x4tb_" + secret,
		"Bearer ruedo_t_7kq2m3x4tb_" + secret,
		"/a?token=ruedo_i_7kq2m3x4tb_&b",
		"session=1; key=ruedo_j_7kq2m3x4tb_x",
		"ruedo%5Ft%5f7kq2m3x4tb%5F" + secret,
		"ruedo, ruedo_t_short_ruedo_t_7kq2m3x4tb_",
		"ruedoruedo_t_7kq2m3x4tb_",
		"ruedo_c_core-1.1764000000.c2lnbmVk",
	} {
		if !token.Within(text) {
			t.Errorf("%q", text)
		}
	}
	for _, text := range []string{
		"", "ruedo", "ruedo_", "ruedo_t", "ruedo_t_", "ruedo_t_7kq2m3x4tb", "ruedo_t_7kq2m3x4t_", "ruedo_t_7kq2m3x4tbc_", "ruedo_T_7kq2m3x4tb_", "ruedo_t_7KQ2m3x4tb_",
		"ruedo_tt_7kq2m3x4tb_", "ruedo-t-7kq2m3x4tb-", "ruedo_t_7kq1m3x4tb_", "ruedo%5", "ruedo_c", "rued o_t_7kq2m3x4tb_",
	} {
		if token.Within(text) {
			t.Errorf("%q looks like a token", text)
		}
	}
	if n := testing.AllocsPerRun(100, func() { token.Within("https://ruedo.example/?a=ruedo_t_&b=ruedo%5Ft%5F7kq2m3x4tb%5F") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A mistyped token is a token: most of its secret may be right.
func TestWithinAuthorization(t *testing.T) {
	for _, value := range []string{
		"Bearer ruedo_t_7kq2m3x4tb_abcdefghijklmnopqrstuvwxyz0a1b2c3d", "bearer  ruedo_t_7kq1m3x4tb_abc", "Bearer ruedo_t", "Bearer RUEDO_T_7KQ2M3X4TB_ABC", "ruedo_c_core-1.1.x",
		"Basic cnVlZG9fdF83a3EybTN4NHRiX2FiYzo=", "basic  YWRhOnJ1ZWRvX3RfN2txMm0zeDR0Yl9hYmM=", "Basic YWRhOnJ1ZWRvX3RfN2txMm0zeDR0Yl9hYmM", "Token ruedo%5Ft%5F7kq2m3x4tb%5Fabc",
	} {
		if !token.WithinAuthorization(value) {
			t.Errorf("%q", value)
		}
	}
	for _, value := range []string{"", "Bearer", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "Basic YWRhOmh1bnRlcjI=", "Basic %%%", "Digest username=\"ruedo\"", "Bearer ruedo"} {
		if token.WithinAuthorization(value) {
			t.Errorf("%q looks like a token", value)
		}
	}
}
