package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"text/tabwriter"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// daemonFlags are the flags of the commands that ask the daemon.
type daemonFlags struct {
	Config string `placeholder:"FILE" type:"path" xor:"daemon" help:"The daemon's config file, which names its socket. Default: /etc/amifend/config.toml."`
	Socket string `placeholder:"SOCKET" type:"path" xor:"daemon" help:"The daemon's control socket."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// client returns a client of the daemon.
func (f daemonFlags) client() (*control.Client, error) {
	if f.Socket != "" {
		return control.NewClient(f.Socket), nil
	}

	name := f.Config
	if name == "" {
		name = defaultConfig
	}

	socket, err := config.FindSocket(name, f.Config == "")
	if err != nil && !IsUsage(err) {
		return nil, unreadable(name, err, "use sudo, or name the daemon's socket with --socket")
	}
	if err != nil {
		return nil, err
	}

	if socket == "" {
		return nil, usageError("[control] socket is empty in " + name +
			": this daemon cannot be asked")
	}

	return control.NewClient(socket), nil
}

// printJSON prints an object in a readable form.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Text is an error for people: what is wrong, and in a line of its own what to do.
func Text(err error) string {
	var e *control.Error
	if errors.As(err, &e) && e.Do != "" {
		return err.Error() + "\n  do: " + e.Do
	}
	return err.Error()
}

// columns writes a table: the cells of a line are separated by tabs.
func columns(w io.Writer, lines []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintln(t, l)
	}
	return t.Flush()
}

// sourceArg is an address or a prefix in the command line.
type sourceArg struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *sourceArg) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		a.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}

	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither an address nor a prefix; write one like 203.0.113.5, "+
			"203.0.113.0/24 or 2001:db8::/64", s)
	case p.Addr().Is4In6():
		return fmt.Errorf("%q is IPv4 in the dress of IPv6; write the IPv4 prefix itself", s)
	case p != p.Masked():
		return fmt.Errorf("%q has bits set behind the /%d; write %s for the network or %s for "+
			"the one address", s, p.Bits(), p.Masked(), p.Addr())
	}

	a.Prefix = p
	return nil
}

// addrArg is an address in the command line; its zero value is none.
type addrArg struct{ netip.Addr }

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *addrArg) UnmarshalText(text []byte) error {
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		p, err := netip.ParsePrefix(string(text))
		switch {
		case err != nil:
			return fmt.Errorf("%q is no address; write one like 203.0.113.5 or 2001:db8::5", text)
		case !p.IsSingleIP():
			return fmt.Errorf("%q is a network; write one of its addresses, such as %s", text,
				p.Addr())
		}

		addr = p.Addr()
	}

	a.Addr = addr.Unmap().WithZone("")
	return nil
}

// span is a length of time in the command line: Go's, and days.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (d *span) UnmarshalText(text []byte) error {
	parsed, ok := config.ParseDuration(string(text))
	if !ok || parsed <= 0 {
		return fmt.Errorf("%q is no duration; write one like 90s, 20m, 12h or 30d", text)
	}
	*d = span(parsed)
	return nil
}

// who is a prefix as one writes it: a host without its length.
func who(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// rough tells a span roughly: 3d4h, 5h12m, 7m3s, 12s.
func rough(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
