// Package confinetest makes system calls in another process, as an attacker would who has taken it
// over: a test of how that process is confined.
package confinetest

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Call makes a system call in a process of this user, and returns its result. An argument is a
// number or a text; a text stands for the address of its bytes and a zero behind them. The process
// then goes on where it was.
func Call(t testing.TB, pid int, number uintptr, args ...any) (result int64, errno syscall.Errno) {
	t.Helper()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)

		// The kernel takes such requests from the thread alone that attached.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		result, errno, err = call(pid, number, args)
	}()

	<-done
	if err != nil {
		t.Fatalf("system call %d in process %d: %v", number, pid, err)
	}
	return result, errno
}

// redZone is what a function may use below the stack pointer, and more.
const redZone = 4096

func call(pid int, number uintptr, args []any) (result int64, errno syscall.Errno, err error) {
	before, err := stopInCall(pid)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = unix.PtraceDetach(pid) }()

	// Texts go below what the stack uses.
	after := before
	after.Orig_rax = ^uint64(0) // the call that was interrupted is not begun again
	after.Rip = before.Rip - 2  // at the instruction of that call
	after.Rax = uint64(number)
	place := (before.Rsp - redZone) &^ 15
	registers := []*uint64{&after.Rdi, &after.Rsi, &after.Rdx, &after.R10, &after.R8, &after.R9}
	for i, arg := range args {
		switch arg := arg.(type) {
		case int:
			*registers[i] = uint64(arg)
		case string:
			text := append([]byte(arg), 0)
			place = (place - uint64(len(text))) &^ 15
			if _, err := unix.PtracePokeData(pid, uintptr(place), text); err != nil {
				return 0, 0, fmt.Errorf("write an argument: %w", err)
			}
			*registers[i] = place
		default:
			return 0, 0, fmt.Errorf("argument %d is neither an int nor a string", i)
		}
	}

	// One step is one instruction, and so the whole call.
	if err := unix.PtraceSetRegs(pid, &after); err != nil {
		return 0, 0, err
	}
	if err := unix.PtraceSingleStep(pid); err != nil {
		return 0, 0, err
	}
	if err := wait(pid); err != nil {
		return 0, 0, err
	}
	if err := unix.PtraceGetRegs(pid, &after); err != nil {
		return 0, 0, err
	}

	result = int64(after.Rax)
	if result < 0 {
		errno = syscall.Errno(-result)
	}
	return result, errno, unix.PtraceSetRegs(pid, &before)
}

// stopInCall stops the first thread of a process while it waits in a system call, and returns its
// registers.
func stopInCall(pid int) (regs unix.PtraceRegs, err error) {
	for range 1000 {
		if err := unix.PtraceAttach(pid); err != nil {
			return regs, fmt.Errorf("attach: %w", err)
		}
		if err := wait(pid); err != nil {
			return regs, err
		}
		if err := unix.PtraceGetRegs(pid, &regs); err != nil {
			return regs, err
		}

		code := make([]byte, 2)
		_, err := unix.PtracePeekText(pid, uintptr(regs.Rip-2), code)
		if err == nil && binary.BigEndian.Uint16(code) == 0x0f05 && int64(regs.Orig_rax) >= 0 {
			return regs, nil
		}
		if err := unix.PtraceDetach(pid); err != nil {
			return regs, err
		}
		time.Sleep(time.Millisecond)
	}
	return regs, fmt.Errorf("the process never waits")
}

func wait(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case !status.Stopped():
			return fmt.Errorf("it ended: %v", status)
		default:
			return nil
		}
	}
}
