package confine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a process may do is read from the kernel's own words.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	for _, c := range []struct {
		text, capabilities string
		nnp, seccomp       bool
	}{
		{
			"CapEff:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t9\n",
			"net_admin", true, true,
		},
		{"CapEff:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\n", "", false, false},
		{
			"CapPrm:\tffffffffffffffff\nCapEff:\t000000000020100b\n",
			"chown dac_override fowner net_admin 21", false, false,
		},
		{"", "", false, false},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := read(file)
		got := strings.Join(r.Capabilities, " ")
		if err != nil || got != c.capabilities || r.NoNewPrivs != c.nnp || r.Seccomp != c.seccomp {
			t.Errorf("%q: %+v, %v", c.text, r, err)
		}
	}

	if _, err := read(file + "/none"); err == nil {
		t.Error("reads a file that is not there")
	}
}

// Only root keeps what files of other users take.
func TestWanted(t *testing.T) {
	if got := capabilityNames(wanted(998)); strings.Join(got, " ") != "net_admin" {
		t.Errorf("the service's user keeps %q", got)
	}
	if got := capabilityNames(wanted(0)); strings.Join(got, " ") !=
		"chown dac_override fowner net_admin" {
		t.Errorf("root keeps %q", got)
	}
}
