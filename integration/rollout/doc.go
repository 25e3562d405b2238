// Package rollout tests what a deployment of a bad version costs: how many invocations meet it, how
// soon it goes back by itself, and that no event is lost.
//
// What is deployed runs: the functions, the hook that tries a version first, and the alarm of the
// topology, with CodeDeploy and CloudWatch emulated. In virtual time a deployment takes a tenth of
// a second, so that hundreds are played, each with a load, a lag of the metrics and a bug of its
// own. The promises are checked by the same code for the deployment as it is and for worse ones,
// which must break them: without the hook, and with an alarm that does not know versions.
package rollout
