"""The queue between gateways and workers: arq's keys and jobs, handed over and answered by pushes."""
