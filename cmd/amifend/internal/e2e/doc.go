// Package e2e shows amifend at work on real input: a real Asterisk in network namespaces, real phones and real attackers'
// tools, amifend as a process, and the kernel's own word for what was dropped.
//
// The tests need root and the build tag e2e; `make e2e` runs them. They skip nothing: a missing tool, chroot or
// network is a failure. All traffic stays in namespaces that the tests make and remove.
package e2e
