"""An hour's callbacks at ten times the speed, with every fault in turn: the second part of ``make soak``.

Two gateways stand behind a TCP balancer, with two workers, a Valkey and the flaky CRM. Each reply is compared
with what the CRM says for its customer.
"""
