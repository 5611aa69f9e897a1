"""Nets made of the layers, one paper a file, and on the same contract recurrent baselines."""

from tcn.models.alexnet import AlexNet, ZFNet
from tcn.models.all_convolutional import AllConvolutional
from tcn.models.bc_resnet import BCResNet, BroadcastedBlock, SubSpectralNorm
from tcn.models.capture import Capture, StartedLSTM
from tcn.models.conv_tasnet import ConvTasNet
from tcn.models.densenet import DenseNet, densenet, small_densenet
from tcn.models.ds_tc_resnet import DSTCResNet
from tcn.models.googlenet import GoogLeNet
from tcn.models.image_scan import ImageScan
from tcn.models.joint import JointModel
from tcn.models.language import TokenModel
from tcn.models.lenet import LeNet5
from tcn.models.modern_tcn import LargeKernel, LargeKernelTCN
from tcn.models.nam import NAMStack, NAMWaveNet, nam_a2
from tcn.models.nam_block import NAMBlock, NAMFiLM, PairedActivation
from tcn.models.pixelcnn import PixelCNN
from tcn.models.recurrent import GRU, LSTM, RNN
from tcn.models.resnet import ResNet, resnet, small_resnet
from tcn.models.sequence import SequenceModel
from tcn.models.sliding import conv_to_dense, dense_to_conv
from tcn.models.sound import SoundModel
from tcn.models.tcn import TCN
from tcn.models.vgg import VGG, vgg
from tcn.models.wavenet import WaveNet

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TCN",
    "VGG",
    "AlexNet",
    "AllConvolutional",
    "BCResNet",
    "BroadcastedBlock",
    "Capture",
    "ConvTasNet",
    "DSTCResNet",
    "DenseNet",
    "GoogLeNet",
    "ImageScan",
    "JointModel",
    "LargeKernel",
    "LargeKernelTCN",
    "LeNet5",
    "NAMBlock",
    "NAMFiLM",
    "NAMStack",
    "NAMWaveNet",
    "PairedActivation",
    "PixelCNN",
    "ResNet",
    "SequenceModel",
    "SoundModel",
    "StartedLSTM",
    "SubSpectralNorm",
    "TokenModel",
    "WaveNet",
    "ZFNet",
    "conv_to_dense",
    "dense_to_conv",
    "densenet",
    "nam_a2",
    "resnet",
    "small_densenet",
    "small_resnet",
    "vgg",
]
