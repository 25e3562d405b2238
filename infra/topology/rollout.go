package topology

import "time"

// rolloutFunction is what a deployment invokes before a new version gets traffic. It belongs to no
// pipeline on one machine.
func rolloutFunction(o Options) Function {
	return Function{
		// Both versions answer within seconds, also when they start. The rest is for a backlog, in
		// which deliver uses all of its reserved concurrency, and Lambda refuses one more invocation
		// until another ends.
		Name: o.Names.RolloutFunction, Metrics: "rollout", Timeout: 5 * time.Minute, MemoryMB: 128,
		LogRetention: o.LogRetention,
	}
}
