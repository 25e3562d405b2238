// Package cloudwatch decides when alarms fire as CloudWatch documents it, on one machine and in
// virtual time: a Store of metrics by the minute and an Evaluator of the topology's alarms. It
// evaluates exactly the definitions that are deployed.
//
// It exists because an alarm is only as good as CloudWatch's rules about data that is late or
// missing, which are not the obvious ones: the evaluation range is wider than the periods that are
// asked for, real data from farther back counts before missing data does, FILL makes a value of a
// minute whose data is only late, and the metrics of an idle queue stop. So an alarm's promise
// ("within 3 minutes") is tested against them.
//
// The Store holds true times. How late each source's values become visible is an assumption that is
// applied on reading, so that one recording is judged under many assumptions. What AWS does not
// document is a named field of Assumptions.
package cloudwatch
