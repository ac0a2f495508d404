package firewall

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Errors that a caller may want to branch on with errors.Is.
var (
	// ErrFull: the set of the ban holds Options.MaxBans elements already.
	ErrFull = errors.New("set is full: raise MaxBans or lift bans")
	// ErrInvalid: no set can hold such a change, for example one without a scope.
	ErrInvalid = errors.New("invalid change")
	// ErrGone: the table, or a set of it, is not there. Ensure, then apply every ban again.
	ErrGone = errors.New("table is gone or incomplete")
	// ErrPermission: the process lacks CAP_NET_ADMIN.
	ErrPermission = errors.New("missing CAP_NET_ADMIN")
	// ErrUnsupported: the kernel has no nftables.
	ErrUnsupported = errors.New("kernel has no nftables for inet: " +
		"load the module nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)")
	// ErrLocked: another instance holds the table.
	ErrLocked = errors.New("another instance is running")
	// ErrClosed: the Table has been closed.
	ErrClosed = errors.New("firewall is closed")
)

// ForeignError is the error of a table of our name that another program made. It is left as it is.
type ForeignError struct {
	Table string // its name, family inet
	Found string // how it differs from ours
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("table inet %s is not ours: %s; choose another name, "+
		"or remove it with `nft delete table inet %s`", e.Table, e.Found, e.Table)
}

// permissionAdvice returns what to do for a user who lacks CAP_NET_ADMIN. Root lacks it in containers.
func permissionAdvice(euid int) string {
	if euid == 0 {
		return "root lacks it in a container: start that with --cap-add NET_ADMIN and, since its " +
			"own network sees none of the host's packets, with host networking (docker run " +
			"--cap-add NET_ADMIN --network host); under systemd write CAP_NET_ADMIN into " +
			"CapabilityBoundingSet"
	}
	return "run as root, or write AmbientCapabilities=CAP_NET_ADMIN into the systemd unit, or run " +
		"setcap cap_net_admin=ep on the program"
}

// kernelError wraps err, and names a cause that an operator can remove.
func kernelError(do string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: %w: %s (%w)", do, ErrPermission, permissionAdvice(os.Geteuid()), err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT),
		errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%s: %w (%w)", do, ErrUnsupported, err)
	}

	return fmt.Errorf("%s: %w", do, err)
}
