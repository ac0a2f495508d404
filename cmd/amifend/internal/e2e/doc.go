// Package e2e tests amifend on real input: a real Asterisk in network namespaces, phones and
// attackers' tools, amifend as a process, and the kernel's counters of dropped packets.
//
// The tests need root and the build tag e2e; `make e2e` runs them. They skip nothing: a missing
// tool, chroot or network is a failure. All traffic stays in namespaces that the tests make and
// remove.
package e2e
