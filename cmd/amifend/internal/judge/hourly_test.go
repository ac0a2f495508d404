package judge

import (
	"net/netip"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

// What counts as a login of a phone, and how it came.
func TestWayOf(t *testing.T) {
	login := stream.Sighting{
		Observation: policy.Observation{
			Kind: policy.KindSuccessfulAuth, Service: policy.ServicePJSIP, Password: true,
			Source: netip.MustParseAddrPort("192.0.2.1:5060"),
		},
		Transport: ami.TransportUDP,
	}
	network := journal.NetworkBit(login.Source.Addr())
	for name, tt := range map[string]struct {
		change  func(*stream.Sighting)
		ways    journal.Ways
		network uint64
	}{
		"UDP": {func(*stream.Sighting) {}, journal.ByUDP, network},
		"TCP": {func(s *stream.Sighting) { s.Transport = ami.TransportTCP }, journal.ByTCP, network},
		"WS":  {func(s *stream.Sighting) { s.Transport = ami.TransportWS }, journal.ByTCP, network},
		"TLS": {func(s *stream.Sighting) { s.Transport = ami.TransportTLS }, journal.ByTLS, network},
		"WSS": {func(s *stream.Sighting) { s.Transport = ami.TransportWSS }, journal.ByTLS, network},
		"chan_sip": {
			func(s *stream.Sighting) { s.Service = policy.ServiceSIP }, journal.ByUDP | journal.ChanSIP, network,
		},
		"an attempt on chan_sip": {func(s *stream.Sighting) {
			s.Service, s.Kind = policy.ServiceSIP, policy.KindInvalidPassword
		}, journal.ChanSIP, 0},
		"no password": {func(s *stream.Sighting) { s.Password = false }, 0, 0},
		"a failure":   {func(s *stream.Sighting) { s.Kind = policy.KindInvalidPassword }, 0, 0},
		"injected":    {func(s *stream.Sighting) { s.Injected = true }, 0, 0},
		"nobody":      {func(s *stream.Sighting) { s.Unknown = true }, 0, 0},
		"AMI":         {func(s *stream.Sighting) { s.Service = policy.ServiceAMI }, 0, 0},
		"no transport": {
			func(s *stream.Sighting) { s.Transport = ami.TransportUnknown }, 0, 0,
		},
	} {
		s := login
		tt.change(&s)
		if ways, network := wayOf(&s); ways != tt.ways || network != tt.network {
			t.Errorf("%s: %b, %x", name, ways, network)
		}
	}
}
