package firewall

import (
	"slices"
	"strings"
	"testing"
)

func TestParseSIPPorts(t *testing.T) {
	for text, want := range map[string]SIPPorts{
		"5060":          {{UDP, 5060, 5060}, {TCP, 5060, 5060}},
		"5060-5061":     {{UDP, 5060, 5061}, {TCP, 5060, 5061}},
		"4569/udp":      {{UDP, 4569, 4569}},
		"8088-8089/tcp": {{TCP, 8088, 8089}},
		"1-65535/udp":   {{UDP, 1, 65535}},
	} {
		got, err := ParseSIPPorts(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseSIPPorts(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseSIPPortsTellsAllProblems(t *testing.T) {
	bad := []string{
		"", "0", "65536", "5061-5060", "5060/sctp", "5060/", "-5060", "5060-", "5060 ",
		"+5060", "5060-5061-5062", "sip",
	}

	_, err := ParseSIPPorts(append([]string{"5060"}, bad...)...)
	if err == nil {
		t.Fatal("no error")
	}
	if got := strings.Count(err.Error(), "parse ports"); got != len(bad) {
		t.Errorf("%d problems, want %d:\n%v", got, len(bad), err)
	}
}

func TestDefaultSIPPorts(t *testing.T) {
	want, err := ParseSIPPorts("5060-5061", "4569/udp")
	if err != nil {
		t.Fatal(err)
	}

	for _, p := range []Protocol{UDP, TCP} {
		for _, port := range []uint16{4568, 4569, 4570, 5059, 5060, 5061, 5062} {
			if got := DefaultSIPPorts().Contains(p, port); got != want.Contains(p, port) {
				t.Errorf("Contains(%s, %d) = %t", p, port, got)
			}
		}
	}
}

func TestMergedPorts(t *testing.T) {
	ports := SIPPorts{
		{UDP, 65000, 65535},
		{UDP, 5061, 5070},
		{TCP, 1, 2},
		{UDP, 5060, 5060},
		{UDP, 5065, 5066},
		{UDP, 65535, 65535},
	}

	want := []PortRange{{UDP, 5060, 5070}, {UDP, 65000, 65535}}
	if got := ports.merged(UDP); !slices.Equal(got, want) {
		t.Errorf("merged = %v, want %v", got, want)
	}
}

// Whatever is parsed is valid and holds its own ends.
func FuzzParseSIPPorts(f *testing.F) {
	for _, s := range []string{
		"5060", "5060-5061", "4569/udp", "1-65535/tcp", "5061-5060", "/udp",
		"-",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, text string) {
		// Either an error or ports, never both or neither.
		ports, err := ParseSIPPorts(text)
		if (err == nil) == (len(ports) == 0) {
			t.Fatalf("ParseSIPPorts(%q) = %v, %v", text, ports, err)
		}
		if err := ports.validate(); err != nil {
			t.Fatalf("ParseSIPPorts(%q) = %v: %v", text, ports, err)
		}

		for _, p := range ports {
			if !ports.Contains(p.Protocol, p.First) || !ports.Contains(p.Protocol, p.Last) ||
				len(ports.merged(p.Protocol)) != 1 {
				t.Fatalf("%q: %v does not hold its own ends", text, p)
			}
		}
	})
}
