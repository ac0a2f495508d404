package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// sourceArg is an address or a prefix on the command line.
type sourceArg struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *sourceArg) UnmarshalText(text []byte) error {
	// An address is a prefix of its whole length.
	s := string(text)
	if addr, ok := parseAddr(s); ok {
		a.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}

	// Another prefix than the intended one must not be banned or allowed, so nothing is guessed.
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither an address nor a prefix; write one like 203.0.113.5, "+
			"203.0.113.0/24 or 2001:db8::/64", s)
	case p.Addr().Is4In6():
		return fmt.Errorf("%q is an IPv4-mapped IPv6 prefix; write the IPv4 prefix itself", s)
	case p != p.Masked():
		return fmt.Errorf("%q has bits set behind the /%d; write %s for the network or %s for "+
			"the one address", s, p.Bits(), p.Masked(), p.Addr())
	}

	a.Prefix = p
	return nil
}

// addrArg is an address on the command line. The zero value means that none was given.
type addrArg struct{ netip.Addr }

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *addrArg) UnmarshalText(text []byte) error {
	if addr, ok := parseAddr(string(text)); ok {
		a.Addr = addr
		return nil
	}

	// People paste prefixes from the output of other commands.
	p, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("%q is not an address; write one like 203.0.113.5 or 2001:db8::5", text)
	case !p.IsSingleIP():
		return fmt.Errorf("%q is a network; write one of its addresses, such as %s", text, p.Addr())
	}

	a.Addr = p.Addr().Unmap().WithZone("")
	return nil
}

// parseAddr reads an address in the forms that people copy from outputs: alone, in brackets, or
// with the port that `amifend events` prints.
func parseAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}

	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			s = inner
		}
	}

	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// whomArg is an address, a prefix or a host name on the command line.
type whomArg struct {
	sourceArg
	name string // "" for a prefix
}

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *whomArg) UnmarshalText(text []byte) error {
	name, err := config.ParseName(string(text))
	if err == nil {
		a.name = name
		return nil
	}

	// A text with colons or slashes, or of digits and dots only, was meant to be an address. So the
	// error is that of an address.
	if strings.ContainsAny(string(text), ":/[") ||
		strings.Trim(string(text), ".0123456789") == "" {
		return a.sourceArg.UnmarshalText(text)
	}

	return fmt.Errorf("%q %w", text, err)
}

// span is a duration on the command line, see [config.ParseDuration].
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (d *span) UnmarshalText(text []byte) error {
	parsed, ok := config.ParseDuration(string(text))
	if !ok || parsed <= 0 {
		return fmt.Errorf("%q is not a valid duration; write one like 90s, 20m, 12h or 30d", text)
	}
	*d = span(parsed)
	return nil
}
