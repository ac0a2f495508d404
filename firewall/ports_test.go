package firewall

import (
	"slices"
	"strings"
	"testing"
)

func TestParseSIPPorts(t *testing.T) {
	for text, want := range map[string]PortRanges{
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

func TestParseWSPorts(t *testing.T) {
	for text, want := range map[string]PortRanges{
		"8088": {{TCP, 8088, 8088}}, "8088-8089": {{TCP, 8088, 8089}},
		"8443/tcp": {{TCP, 8443, 8443}},
	} {
		if got, err := ParseWSPorts(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseWSPorts(%q) = %v, %v; want %v", text, got, err, want)
		}
	}

	if got, err := ParseWSPorts("8088", "8089/udp"); err == nil ||
		err.Error() != `parse ports "8089/udp": protocol must be tcp` {
		t.Errorf("UDP: %v, %v", got, err)
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

func TestPortsOfAScope(t *testing.T) {
	ports := Ports{
		SIP: PortRanges{{UDP, 5060, 5060}, {TCP, 5070, 5071}},
		WS:  PortRanges{{TCP, 443, 443}},
	}
	for _, tt := range []struct {
		protocol         Protocol
		port             uint16
		all, sip, stream bool
	}{
		{UDP, 5060, true, true, false},
		{TCP, 5060, true, false, false},
		{TCP, 5071, true, true, true},
		{UDP, 5071, true, false, false},
		{TCP, 443, true, false, true},
		{TCP, 8088, true, false, false},
		{TCP, 5038, true, false, true},
		{TCP, 5039, true, false, true},
		{UDP, 5038, true, false, false},
	} {
		for scope, want := range map[Scope]bool{
			ScopeAll: tt.all, ScopeSIP: tt.sip, ScopeStream: tt.stream, 0: false,
		} {
			if got := ports.Cover(scope, tt.protocol, tt.port); got != want {
				t.Errorf("scope %s, %d/%s: %t", scope, tt.port, tt.protocol, got)
			}
			if got := ports.of(scope).Contains(tt.protocol, tt.port); got != want &&
				scope != ScopeAll {
				t.Errorf("scope %s, %d/%s: the rules have it: %t", scope, tt.port, tt.protocol, got)
			}
		}
	}
}

func TestMergedPorts(t *testing.T) {
	ports := PortRanges{
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
		if err := (Ports{SIP: ports}).validate(); err != nil {
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
