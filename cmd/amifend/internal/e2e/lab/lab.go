// Package lab brings up examples/lab for the end-to-end tests: network namespaces with a real
// Asterisk, and a witness at its AMI that is independent of amifend's own decoder.
//
// The addresses and the configuration of the lab are in examples/lab; this package calls the
// scripts there. Everything that a [Lab] starts lives in its namespaces, so Down ends it all.
package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Who is one of the lab's namespaces.
type Who string

// The namespaces.
const (
	PBX    Who = "pbx"
	GW     Who = "gw"
	Phones Who = "phones"
	Attack Who = "attack"
	Trunk  Who = "trunk"
	Mon    Who = "mon"
)

// Addresses of the lab, as examples/lab/lab.sh lays them out.
var (
	PBX4     = netip.MustParseAddr("192.0.2.10")
	PBX6     = netip.MustParseAddr("2001:db8:1::10")
	Gateway4 = netip.MustParseAddr("192.0.2.1")
	Gateway6 = netip.MustParseAddr("2001:db8:1::1")
	Resolver = netip.MustParseAddr("100.64.0.53")
	ITSP     = netip.MustParseAddr("100.64.9.9") // the trunk
	Monitor  = netip.MustParseAddr("100.64.1.5")
)

// Lab is one running lab.
type Lab struct {
	Name    string
	Release string // sid or bullseye
	Run     string // its files: etc, log, secret, ...
	script  string
}

// Up brings a lab up and waits until Asterisk is ready. scripts is the folder examples/lab.
func Up(ctx context.Context, scripts, name, release string) (*Lab, error) {
	l := &Lab{
		Name: name, Release: release,
		Run:    filepath.Join("/run/amifend-lab", name),
		script: filepath.Join(scripts, "lab.sh"),
	}
	if _, err := l.call(ctx, "up", release); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

// Down ends everything in the lab and removes it.
func (l *Lab) Down() error {
	_, err := l.call(context.Background(), "down")
	return err
}

// Start starts Asterisk again after Kill, and returns when it is fully booted.
func (l *Lab) Start(ctx context.Context) error {
	_, err := l.call(ctx, "start")
	return err
}

// Kill ends Asterisk as a crash does.
func (l *Lab) Kill(ctx context.Context) error {
	_, err := l.call(ctx, "kill")
	return err
}

// CLI runs a command of Asterisk's own command line.
func (l *Lab) CLI(ctx context.Context, command string) (string, error) {
	return l.call(ctx, "asterisk", command)
}

func (l *Lab) call(ctx context.Context, verb string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, l.script, append([]string{verb, l.Name}, args...)...))
}

// Secret returns the secret of the lab's manager users.
func (l *Lab) Secret() (string, error) {
	b, err := os.ReadFile(filepath.Join(l.Run, "secret"))
	return strings.TrimSpace(string(b)), err
}

// Fingerprint returns the fingerprint of the PBX's certificate, as `openssl x509 -fingerprint
// -sha256` prints it.
func (l *Lab) Fingerprint() (string, error) {
	b, err := os.ReadFile(filepath.Join(l.Run, "etc/pbx.crt"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return "", errors.New("pbx.crt holds no PEM block")
	}

	sum := sha256.Sum256(block.Bytes)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"), nil
}

// Command prepares a program to run in a namespace.
func (l *Lab) Command(ctx context.Context, who Who, name string, args ...string) *exec.Cmd {
	inside := []string{"netns", "exec", l.namespace(who), name}
	return exec.CommandContext(ctx, "ip", append(inside, args...)...)
}

// Exec runs a program in a namespace and returns what it wrote to stdout.
func (l *Lab) Exec(ctx context.Context, who Who, name string, args ...string) (string, error) {
	return output(l.Command(ctx, who, name, args...))
}

// Source makes addr the address of the programs in the attackers' namespace that pick none. It has
// no effect on those that run already.
func (l *Lab) Source(ctx context.Context, addr netip.Addr) error {
	_, err := l.call(ctx, "from", addr.String())
	return err
}

func (l *Lab) namespace(who Who) string { return "amifend-lab-" + l.Name + "-" + string(who) }

// Net returns a namespace to open sockets in.
func (l *Lab) Net(who Who) Namespace { return Namespace(l.namespace(who)) }

// Namespace is a named network namespace.
type Namespace string

// Do runs open on a thread that is in the namespace, and returns its error. Sockets stay in the
// namespace where they were created.
func (n Namespace) Do(open func() error) error {
	result := make(chan error, 1)
	// A goroutine of its own: if the way back fails, its thread ends with it instead of going on in
	// the wrong namespace.
	go func() {
		runtime.LockOSThread()

		// While the main thread is away, the whole process looks like one of the lab's, which Down
		// ends.
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			result <- n.Do(open) // on another thread: this one is held
			return
		}
		home, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("get namespace: %w", err)
			return
		}
		defer home.Close()

		there, err := netns.GetFromName(string(n))
		if err != nil {
			result <- fmt.Errorf("open namespace %s: %w", n, err)
			return
		}
		defer there.Close()
		if err := netns.Set(there); err != nil {
			result <- fmt.Errorf("enter namespace %s: %w", n, err)
			return
		}

		err = open()
		if back := netns.Set(home); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// output runs a command and returns its stdout. Its stderr is in the error. It gives the command
// files, not pipes: Asterisk inherits them from lab.sh and would keep a pipe open.
func output(cmd *exec.Cmd) (string, error) {
	out, err := os.CreateTemp("", "amifend-lab-")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	errs, err := os.CreateTemp("", "amifend-lab-")
	if err != nil {
		return "", err
	}
	defer os.Remove(errs.Name())
	defer errs.Close()

	// What it wrote before it failed is of use, too.
	cmd.Stdout, cmd.Stderr = out, errs
	runErr := cmd.Run()
	b, err := os.ReadFile(out.Name())
	if err != nil {
		return "", err
	}
	if runErr != nil {
		said, _ := os.ReadFile(errs.Name()) // best effort: it only explains
		command := strings.Join(cmd.Args, " ")
		return string(b), fmt.Errorf("%s: %w: %s", command, runErr, bytes.TrimSpace(said))
	}
	return string(b), nil
}
